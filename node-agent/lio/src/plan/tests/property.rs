//! Any export to any export, stopped at any step: reading and planning again always gets there, and what is not ours
//! is left byte for byte as it was.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::configfs::{Configfs, Fake};
use crate::fixtures::*;
use crate::iqn::Iqn;
use crate::name::{HbaNumber, Uid};
use crate::node::Node;
use crate::portal::Portal;
use crate::secret::{Chap, Login, Secret};
use crate::tree::{Acl, Backstore, Export, LocalDisk, Target};

const PORTALS: &[&str] = &["10.0.0.1:3260", "10.0.0.2:3260", "[fd00::1]:3260"];

fn login(user: &'static str) -> impl Strategy<Value = Login> {
    prop::sample::select(vec!["first-secret", "second-secret"])
        .prop_map(move |secret| Login::new(user, Secret::new(format!("{user}-{secret}"))).unwrap())
}

fn acl() -> impl Strategy<Value = Acl> {
    let chap = (login("initiator"), prop::option::of(login("target")));
    let chap = chap.prop_map(|(initiator, target)| Chap::new(initiator, target).unwrap());
    (prop::option::of(chap), any::<bool>()).prop_map(|(chap, read_only)| Acl::new(chap, read_only))
}

fn iscsi_target() -> impl Strategy<Value = Target> {
    let portals = prop::collection::btree_set(prop::sample::select(PORTALS.to_vec()), 0..=3);
    let acls = prop::collection::btree_map(prop::sample::select(vec!["a", "b", "c"]), acl(), 0..=3);
    (portals, acls).prop_map(|(portals, acls): (BTreeSet<&str>, BTreeMap<&str, Acl>)| {
        let portals = portals.into_iter().map(|portal| Portal::parse(portal).unwrap());
        Target::new(target(), portals, acls.into_iter().map(|(name, acl)| (initiator(name), acl)).collect())
    })
}

/// The size only grows from one export of a series to the next.
fn export_at(index: u64) -> impl Strategy<Value = Option<Export>> {
    let local = prop::option::of(any::<bool>().prop_map(LocalDisk::new));
    let present = (0..3_u64, prop::option::of(iscsi_target()), local).prop_map(move |(grown, target, local)| {
        let size = (1 << 20) * (3 * index + grown + 1);
        Export { backstore: Some(Backstore::new(size, 512, "serial-1")), target, local }
    });
    prop::option::weighted(0.8, present)
}

/// Other people's targets and devices, and another LUN of ours.
fn populated() -> Fake {
    let fs = Fake::new();
    let device = Node::hba(HbaNumber(1)).child("disk");
    let foreign = Node::iscsi().child("iqn.2003-01.org.linux-iscsi.host:sn.1");
    let tpg = foreign.child("tpgt_1");
    for node in [
        Node::hba(HbaNumber(1)),
        device.clone(),
        Node::iscsi(),
        foreign,
        tpg.clone(),
        tpg.child("np/10.0.0.1:3260"),
        tpg.child("lun/lun_0"),
    ] {
        fs.mkdir(&node).unwrap();
    }
    write(&fs, &device.child("control"), "nl_reply_supported=-1,dev_config=rbd/pool/image");
    write(&fs, &device.child("enable"), "1");
    fs.symlink(&tpg.child("lun/lun_0/disk"), &device).unwrap();
    let loop_target = Node::loopback().child("naa.5001405aabbccdde");
    for node in
        [Node::loopback(), loop_target.clone(), loop_target.child("tpgt_1"), loop_target.child("tpgt_1/lun/lun_0")]
    {
        fs.mkdir(&node).unwrap();
    }
    write(&fs, &loop_target.child("tpgt_1/nexus"), "naa.5001405aabbccddf");
    fs.symlink(&loop_target.child("tpgt_1/lun/lun_0/disk"), &device).unwrap();
    let neighbour = Uid::parse("neighbour").unwrap();
    for node in [Node::hba(HbaNumber::derived(&neighbour)), Node::device(HbaNumber::derived(&neighbour), &neighbour)] {
        fs.mkdir(&node).unwrap();
    }
    fs
}

fn not_ours(fs: &Fake) -> BTreeMap<String, String> {
    let hba = Node::hba(HbaNumber::derived(&uid())).to_string();
    let disk = Node::loop_target(&uid()).to_string();
    let ours = |path: &str| path.contains(uid().as_str()) || path.starts_with(&hba) || path.starts_with(&disk);
    fs.dump().into_iter().filter(|(path, _)| !ours(path)).collect()
}

/// Who is on the list now and stays on it: no change of anything else may end their sessions.
fn stayers(fs: &Fake, want: Option<&Export>) -> impl Iterator<Item = Iqn> {
    let listed = |target: Option<Target>| {
        target.into_iter().flat_map(|target| target.tpgs.into_values()).flat_map(|tpg| tpg.acls.into_keys())
    };
    let now: BTreeSet<Iqn> = listed(read(fs).export.target).collect();
    listed(want.and_then(|want| want.target.clone())).filter(move |who| now.contains(who))
}

/// Until an attempt meets no failure; the first one fails at its `k`-th change, if it has as many.
fn converge(fs: &Fake, want: Option<&Export>, k: usize) {
    fs.fail_at(Some(k));
    let interrupted = attempt(fs, want).is_err();
    fs.fail_at(None);
    if interrupted {
        attempt(fs, want).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_series_of_exports_converges_though_interrupted(
        (wants, stops) in (
            (export_at(0), export_at(1), export_at(2)).prop_map(|(a, b, c)| vec![a, b, c]),
            prop::collection::vec(0..60_usize, 3),
        )
    ) {
        let fs = populated();
        let before = not_ours(&fs);
        for (want, stop) in wants.iter().zip(stops) {
            let logged_in: Vec<Iqn> = stayers(&fs, want.as_ref()).filter(|who| fs.login(&target(), who)).collect();
            converge(&fs, want.as_ref(), stop);
            for who in logged_in {
                prop_assert!(fs.is_logged_in(&target(), &who), "{} was disturbed", who);
            }
            prop_assert!(plan_for(&fs, want.as_ref()).is_empty(), "{}", plan_for(&fs, want.as_ref()));
            let found = read(&fs);
            let writable = |local: &LocalDisk| (local.lun.clone(), local.nexus, local.read_only());
            let wanted = want.as_ref().and_then(|want| want.local.as_ref());
            prop_assert_eq!(found.export.local.as_ref().map(writable), wanted.map(writable));
            prop_assert_eq!(found.export.target, want.as_ref().and_then(|want| want.target.clone()));
            prop_assert_eq!(&not_ours(&fs), &before);
        }
        converge(&fs, None, 7);
        prop_assert!(read(&fs).is_empty());
        prop_assert_eq!(&fs.dump(), &before);
    }

    /// The next wish may come before the last one was fulfilled.
    #[test]
    fn a_wish_interrupted_at_every_step_can_be_replaced_by_another(first in export_at(0), second in export_at(1)) {
        let steps = plan_for(&populated(), first.as_ref()).all().count();
        for stop in 0..=steps {
            let fs = populated();
            fs.fail_at(Some(stop));
            prop_assert_eq!(attempt(&fs, first.as_ref()).is_ok(), stop == steps);
            fs.fail_at(None);
            attempt(&fs, second.as_ref()).unwrap();
            prop_assert!(plan_for(&fs, second.as_ref()).is_empty(), "stopped at {}: {}", stop, plan_for(&fs, second.as_ref()));
        }
    }
}
