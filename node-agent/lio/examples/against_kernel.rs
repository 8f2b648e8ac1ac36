//! Does the same things to the kernel's configfs and to the fake one, and prints where they differ.
//!
//! For a throw-away VM, as root, with `target_core_user` and `iscsi_target_mod` loaded: it makes and removes HBAs,
//! devices and targets. Ends with status 1 if anything differed, or if an export did not come about as wanted.

use std::collections::BTreeMap;
use std::process::ExitCode;

use lunette_lio::configfs::EntryKind;
use lunette_lio::*;
use nix::errno::Errno;

type Outcome = Result<String, Errno>;

/// Both kernels, and how many differences were seen.
struct Pair {
    real: Real,
    fake: Fake,
    differences: usize,
}

fn main() -> ExitCode {
    for finding in Preflight::here().check() {
        println!("{:?}: {} {}", finding.state, finding.what, finding.mend.unwrap_or_default());
    }
    let mut pair = Pair { real: Real::default(), fake: Fake::new(), differences: 0 };
    pitfalls(&mut pair);
    exports(&mut pair);
    println!("{} differences", pair.differences);
    if pair.differences == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Pair {
    /// Does it to both and compares the answers.
    fn both(&mut self, what: &str, action: impl Fn(&dyn Configfs) -> Outcome) {
        let (real, fake) = (action(&self.real), action(&self.fake));
        println!("{} {what}: {real:?}", if real == fake { "same" } else { "DIFFERENT" });
        if real != fake {
            println!("          the fake kernel says {fake:?}");
            self.differences += 1;
        }
    }

    fn mkdir(&mut self, node: &Node) {
        self.both(&format!("mkdir {node}"), |fs| fs.mkdir(node).map(|()| String::new()));
    }

    fn rmdir(&mut self, node: &Node) {
        self.both(&format!("rmdir {node}"), |fs| fs.rmdir(node).map(|()| String::new()));
    }

    fn write(&mut self, node: &Node, text: &str) {
        self.both(&format!("write {text:?} to {node}"), |fs| {
            fs.write_once(node, text.as_bytes()).map(|()| String::new())
        });
    }

    fn read(&mut self, node: &Node) {
        self.both(&format!("read {node}"), |fs| fs.read(node));
    }

    fn link(&mut self, link: &Node, to: &Node) {
        self.both(&format!("link {link} to {to}"), |fs| fs.symlink(link, to).map(|()| String::new()));
    }

    fn unlink(&mut self, link: &Node) {
        self.both(&format!("unlink {link}"), |fs| fs.unlink(link).map(|()| String::new()));
    }

    fn read_link(&mut self, link: &Node) {
        self.both(&format!("read link {link}"), |fs| fs.read_link(link).map(|to| to.to_string()));
    }

    /// Everything that the fake kernel has must be in the real one, with the same text.
    fn compare(&mut self, root: &Node) {
        let entries = match self.fake.list(root) {
            Ok(entries) => entries,
            Err(_) => return self.both(&format!("list {root}"), |fs| fs.list(root).map(|_| String::new())),
        };
        for entry in entries {
            let node = root.child(&entry.name);
            match entry.kind {
                EntryKind::Directory => self.compare(&node),
                EntryKind::Link => self.read_link(&node),
                EntryKind::Attribute if told_otherwise(&entry.name) => {}
                EntryKind::Attribute => self.read(&node),
            }
        }
    }
}

/// Texts for people, which the fake kernel has in brief.
fn told_otherwise(name: &str) -> bool {
    matches!(name, "info" | "hba_info" | "lio_version" | "vendor_id" | "alua_tg_pt_gp")
}

/// Each answer that the crate counts on.
fn pitfalls(pair: &mut Pair) {
    let hba = Node::core().child("user_1879048191");
    let device = hba.child("probe");
    pair.mkdir(&Node::core().child("user_x"));
    pair.mkdir(&hba);
    pair.mkdir(&hba);
    pair.mkdir(&device);
    pair.compare(&device);
    devices(pair, &device);
    pair.mkdir(&Node::iscsi());
    targets(pair, &device);
    pair.rmdir(&hba);
    pair.rmdir(&device.child("attrib"));
    pair.mkdir(&device.child("attrib/x"));
    pair.rmdir(&device);
    pair.rmdir(&device);
    pair.rmdir(&hba);
}

fn devices(pair: &mut Pair, device: &Node) {
    let attrib = device.child("attrib");
    pair.write(&device.child("action/block_dev"), "1");
    pair.write(
        &device.child("control"),
        "nl_reply_supported=-1,dev_config=probe/x,dev_size=1048576,no_such_key=1,cmd_ring_size_mb=1",
    );
    pair.write(&device.child("control"), "max_data_area_mb=0");
    pair.write(&device.child("control"), "hw_block_size=0");
    pair.write(&device.child("control"), "max_data_area_mb=64,hw_block_size=512,hw_max_sectors=1024");
    pair.write(&device.child("wwn/vpd_unit_serial"), "serial-1");
    pair.read(&device.child("wwn/vpd_unit_serial"));
    pair.write(&device.child("enable"), "0");
    pair.write(&device.child("enable"), "1");
    pair.write(&device.child("enable"), "1");
    pair.compare(device);
    pair.write(&attrib.child("dev_size"), "2097152");
    pair.write(&device.child("control"), "nl_reply_supported=-1,dev_size=2097152");
    pair.read(&attrib.child("dev_size"));
    pair.write(&device.child("control"), "max_data_area_mb=32");
    pair.write(&device.child("control"), "cmd_ring_size_mb=2");
    pair.write(&attrib.child("cmd_time_out"), "0");
    pair.write(&attrib.child("qfull_time_out"), "10");
    pair.write(&attrib.child("hw_block_size"), "4096");
    pair.write(&device.child("action/reset_ring"), "0");
    pair.write(&device.child("action/reset_ring"), "1");
    pair.read(&device.child("action/reset_ring"));
    pair.read(&device.child("control"));
    for switch in ["1", "1", "0", "2"] {
        pair.write(&device.child("action/block_dev"), switch);
        pair.read(&device.child("action/block_dev"));
    }
}

fn targets(pair: &mut Pair, device: &Node) {
    let target = Node::iscsi().child("iqn.2026-01.com.example:probe");
    let tpg = target.child("tpgt_1");
    let (lun, acl) = (tpg.child("lun/lun_0"), tpg.child("acls/iqn.2026-01.com.example:alice"));
    pair.mkdir(&Node::iscsi().child(format!("iqn.2026-01.com.example:{}", "x".repeat(200))));
    pair.mkdir(&target);
    pair.mkdir(&target.child("tpg_1"));
    pair.mkdir(&tpg);
    pair.compare(&target);
    pair.mkdir(&lun);
    let link = lun.child("probe");
    pair.link(&tpg.child("probe"), device);
    pair.link(&link, &target);
    pair.link(&link, device);
    pair.link(&lun.child("again"), device);
    pair.link(&link, device);
    pair.read_link(&link);
    exported(pair, device);
    acls(pair, &tpg, &acl, &lun);
    portals(pair, &tpg);
    enabling(pair, &tpg);
    for removed in [&target, &tpg, &lun] {
        pair.rmdir(removed);
    }
    pair.unlink(&acl.child("lun_0/probe"));
    for removed in [&acl.child("lun_0"), &acl, &acl] {
        pair.rmdir(removed);
    }
    pair.unlink(&link);
    pair.unlink(&link);
    for removed in [&lun, &tpg.child("np/127.0.0.1:3261"), &tpg, &target] {
        pair.rmdir(removed);
    }
}

fn exported(pair: &mut Pair, device: &Node) {
    pair.rmdir(device);
    pair.write(&device.child("wwn/vpd_unit_serial"), "serial-2");
    pair.write(&device.child("attrib/cmd_time_out"), "30");
    pair.write(&device.child("attrib/qfull_time_out"), "5");
    pair.write(&device.child("attrib/tmr_notification"), "1");
    pair.write(&device.child("attrib/emulate_pr"), "0");
    pair.write(&device.child("attrib/emulate_pr"), "1");
}

fn acls(pair: &mut Pair, tpg: &Node, acl: &Node, lun: &Node) {
    let mapped = acl.child("lun_0");
    pair.write(&tpg.child("attrib/default_cmdsn_depth"), "128");
    pair.mkdir(acl);
    pair.compare(acl);
    pair.mkdir(&acl.child("x"));
    pair.mkdir(&mapped);
    pair.read(&mapped.child("write_protect"));
    pair.write(&mapped.child("write_protect"), "1");
    pair.read(&mapped.child("write_protect"));
    pair.link(&mapped.child("probe"), &lun.child("probe"));
    pair.link(&mapped.child("probe"), lun);
    pair.link(&mapped.child("again"), lun);
    pair.read_link(&mapped.child("probe"));
    pair.read(&mapped.child("write_protect"));
    for value in ["1", "2", "0"] {
        pair.write(&mapped.child("write_protect"), value);
        pair.read(&mapped.child("write_protect"));
    }
    for depth in ["128", "513", "64"] {
        pair.write(&acl.child("cmdsn_depth"), depth);
    }
    for value in ["bob\n", "NULL", "bob"] {
        pair.write(&acl.child("auth/userid"), value);
        pair.read(&acl.child("auth/userid"));
    }
    pair.write(&acl.child("auth/password"), &"x".repeat(256));
    pair.write(&acl.child("auth/password"), &"x".repeat(255));
    for value in ["2", "0", "1", "-1"] {
        pair.write(&acl.child("attrib/authentication"), value);
        pair.read(&acl.child("attrib/authentication"));
    }
}

fn portals(pair: &mut Pair, tpg: &Node) {
    for portal in ["127.0.0.1:3261", "127.0.0.1:3261", "0.0.0.0:3261", "nonsense", "127.0.0.1"] {
        pair.mkdir(&tpg.child("np").child(portal));
    }
}

fn enabling(pair: &mut Pair, tpg: &Node) {
    let method = tpg.child("param/AuthMethod");
    pair.read(&method);
    for (attr, value) in [
        ("attrib/authentication", "0"),
        ("attrib/authentication", "1"),
        ("param/AuthMethod", "CHAP,None"),
        ("enable", "1"),
        ("enable", "1"),
        ("param/AuthMethod", "CHAP,None"),
        ("param/AuthMethod", "Kerberos"),
        ("attrib/authentication", "0"),
        ("enable", "0"),
        ("enable", "0"),
        ("enable", "1"),
        ("param/InitialR2T", "Maybe"),
        ("param/InitialR2T", "No"),
        ("param/MaxRecvDataSegmentLength", "1"),
        ("param/MaxRecvDataSegmentLength", "262144"),
        ("attrib/generate_node_acls", "2"),
        ("attrib/default_cmdsn_depth", "0"),
        ("attrib/default_cmdsn_depth", "513"),
    ] {
        pair.write(&tpg.child(attr), value);
        pair.read(&method);
    }
    pair.compare(tpg);
}

/// A series of exports on both, each compared whole.
fn exports(pair: &mut Pair) {
    let uid = Uid::parse("0f0f0f0f-example").expect("a constant of the right form");
    for (index, want) in wishes(&uid).iter().enumerate() {
        println!("--- wish {index}");
        for fs in [&pair.real as &dyn Configfs, &pair.fake] {
            if let Err(trouble) = bring_about(fs, &uid, want.as_ref()) {
                println!("DIFFERENT from the wish: {trouble}");
                pair.differences += 1;
            }
        }
        let prefix = IqnPrefix::default();
        pair.both("read export", |fs| {
            Ok(format!("{:?}", read_export(fs, &prefix, &uid).map(|found| (found.export, found.hba))))
        });
        pair.both("UIO device", |fs| {
            Ok(format!(
                "{:?}",
                uio_device(fs, &read_export(fs, &prefix, &uid).map_err(|_| Errno::EIO)?).map(|path| path.is_some())
            ))
        });
        pair.compare(&Node::target(&prefix.target(&uid)));
    }
}

fn bring_about(fs: &dyn Configfs, uid: &Uid, want: Option<&Export>) -> Result<(), String> {
    let prefix = IqnPrefix::default();
    let now = || read_export(fs, &prefix, uid).map_err(|error| error.to_string());
    let first = plan(&now()?, want).map_err(|error| error.to_string())?;
    let steps: Vec<Step> = first.all().cloned().collect();
    apply(fs, &steps, |_, _| {}).map_err(|error| error.to_string())?;
    let second = plan(&now()?, want).map_err(|error| error.to_string())?;
    if second.is_empty() { Ok(()) } else { Err(format!("a second plan is not empty:\n{second}")) }
}

fn wishes(uid: &Uid) -> Vec<Option<Export>> {
    let alice = Iqn::parse("iqn.2026-01.com.example:alice").expect("a constant of the right form");
    let bob = Iqn::parse("iqn.2026-01.com.example:bob").expect("a constant of the right form");
    let secret = |text: &str| Login::new("user", Secret::new(text)).ok();
    let chap = secret("first-secret-1234").and_then(|first| Chap::new(first, secret("second-secret-1234")).ok());
    let one_way = secret("third-secret-1234").and_then(|first| Chap::new(first, None).ok());
    let wish = |mib: u64, portals: &[&str], acls: Vec<(&Iqn, Acl)>| {
        let portals = portals.iter().filter_map(|portal| Portal::parse(portal).ok());
        let acls: BTreeMap<Iqn, Acl> = acls.into_iter().map(|(who, acl)| (who.clone(), acl)).collect();
        let target = Target::new(IqnPrefix::default().target(uid), portals, acls);
        let backstore = Backstore::new(mib << 20, 512, uid.as_str());
        // No local disk: linking one asks the device, and nobody serves this one.
        Some(Export { backstore: Some(backstore), target: Some(target), local: None })
    };
    vec![
        wish(64, &["127.0.0.1:3262"], vec![(&alice, Acl::new(chap.clone(), false))]),
        wish(64, &["127.0.0.1:3262"], vec![(&alice, Acl::new(chap.clone(), false)), (&bob, Acl::new(None, true))]),
        wish(
            128,
            &["127.0.0.1:3262", "[::1]:3262"],
            vec![(&alice, Acl::new(one_way, true)), (&bob, Acl::new(None, false))],
        ),
        wish(128, &["[::1]:3262"], vec![(&bob, Acl::new(None, false))]),
        wish(128, &["[::1]:3262"], vec![]),
        None,
        wish(64, &["127.0.0.1:3262"], vec![(&bob, Acl::new(None, true))]),
        None,
    ]
}
