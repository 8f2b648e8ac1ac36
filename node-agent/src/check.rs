//! `lunette-node check`: what the kernel and the node lack, each with the command that mends it.
//!
//! The target side (modules, configfs) is what serving needs; the initiator side (iscsid, a name) only
//! matters where this node logs in to other nodes' LUNs, and tcm_loop and sd_mod where it has its own LUNs as
//! disks, so their lack is no failure.

use std::fs;
use std::path::Path;
use std::process::Command;

use lunette_lio::Preflight;
use lunette_lio::preflight::{Finding, State};

/// The modules whose state a LunNode shows.
pub const MODULES: [&str; 6] =
    ["target_core_mod", "target_core_user", "iscsi_target_mod", "uio", LOCAL_DISKS[0], LOCAL_DISKS[1]];
/// What shows a LUN as a disk of its own node: the fabric, and the driver of SCSI disks.
const LOCAL_DISKS: [&str; 2] = ["tcm_loop", "sd_mod"];

const INITIATOR_NAME: &str = "/etc/iscsi/initiatorname.iscsi";

/// Prints what was found; whether this node can serve.
pub fn run() -> bool {
    let target = Preflight::here().check();
    println!("To serve LUNs (target side):");
    target.iter().for_each(print);
    println!("To use LUNs of other nodes (initiator side):");
    initiator(Path::new("/")).iter().for_each(print);
    println!("To have LUNs of its own as local disks:");
    LOCAL_DISKS.iter().for_each(|module| print(&Preflight::here().module(module)));
    let missing = blocking(&target).len();
    match missing {
        0 => println!("This node can serve LUNs."),
        1 => println!("This node cannot serve LUNs yet: 1 thing is missing."),
        n => println!("This node cannot serve LUNs yet: {n} things are missing."),
    }
    missing == 0
}

fn print(finding: &Finding) {
    let mark = if finding.state == State::Good { "ok     " } else { "MISSING" };
    match &finding.mend {
        Some(mend) => println!("  {mark}  {}\n           mend with: {mend}", finding.what),
        None => println!("  {mark}  {}", finding.what),
    }
}

/// What stands between this node and serving, a phrase each.
pub fn blocking(findings: &[Finding]) -> Vec<String> {
    let missing = findings.iter().filter(|finding| finding.state != State::Good);
    missing
        .map(|finding| match &finding.mend {
            Some(mend) => format!("{} is missing: {mend}", finding.what),
            None => format!("{} is missing", finding.what),
        })
        .collect()
}

/// Loads the modules that are installed and not loaded. What cannot be loaded is reported by the checks.
pub fn load_modules() {
    let preflight = Preflight::here();
    for module in MODULES.into_iter().filter(|module| preflight.module(module).state == State::Mendable) {
        match Command::new("modprobe").arg(module).output() {
            Ok(output) if output.status.success() => tracing::info!(module, "kernel module loaded"),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                tracing::warn!(module, "kernel module not loaded: {}", said.trim());
            }
            Err(error) => tracing::warn!(module, %error, "kernel module not loaded: modprobe cannot be run"),
        }
    }
}

/// Whether the kernel has it, loaded or built in.
pub fn module_is_loaded(name: &str) -> bool {
    Preflight::here().module(name).state == State::Good
}

/// This node's own initiator name.
pub fn initiator_name() -> Option<String> {
    name_in(&fs::read_to_string(INITIATOR_NAME).ok()?)
}

fn name_in(text: &str) -> Option<String> {
    let name = text.lines().find_map(|line| line.trim().strip_prefix("InitiatorName="))?.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

fn initiator(root: &Path) -> Vec<Finding> {
    let below = |path: &str| root.join(path.trim_start_matches('/'));
    let finding = |what: &str, good: bool, mend: &str| Finding {
        what: what.to_owned(),
        state: if good { State::Good } else { State::Mendable },
        mend: (!good).then(|| mend.to_owned()),
    };
    let installed = ["/usr/sbin/iscsid", "/sbin/iscsid"].iter().any(|path| below(path).exists());
    let named = fs::read_to_string(below(INITIATOR_NAME)).ok().and_then(|text| name_in(&text)).is_some();
    let name = "echo \"InitiatorName=$(iscsi-iname)\" > /etc/iscsi/initiatorname.iscsi && systemctl restart iscsid";
    vec![
        finding("iscsid installed", installed, "apt-get install open-iscsi (dnf install iscsi-initiator-utils)"),
        finding("iscsid running", runs(&below("/proc"), "iscsid"), "systemctl enable --now iscsid"),
        finding("an initiator name in /etc/iscsi/initiatorname.iscsi", named, name),
    ]
}

/// Whether a process of that name runs.
fn runs(proc: &Path, name: &str) -> bool {
    let Ok(entries) = fs::read_dir(proc) else { return false };
    entries.flatten().any(|entry| fs::read_to_string(entry.path().join("comm")).is_ok_and(|comm| comm.trim() == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_without_an_initiator_is_told_how_to_get_one() {
        let root = tempfile::tempdir().unwrap();
        let findings = initiator(root.path());
        assert!(findings.iter().all(|finding| finding.state == State::Mendable && finding.mend.is_some()));
        for (path, text) in [
            ("usr/sbin/iscsid", ""),
            ("proc/7/comm", "iscsid\n"),
            ("etc/iscsi/initiatorname.iscsi", "# x\nInitiatorName=iqn.2026-01.io.example:a\n"),
        ] {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        assert!(initiator(root.path()).iter().all(|finding| finding.state == State::Good && finding.mend.is_none()));
    }

    #[test]
    fn a_commented_name_is_no_name() {
        assert_eq!(name_in("#InitiatorName=iqn.x\n"), None);
        assert_eq!(name_in("InitiatorName=\n"), None);
        assert_eq!(name_in("GenerateName=yes\nInitiatorName=iqn.a:b \n").as_deref(), Some("iqn.a:b"));
    }
}
