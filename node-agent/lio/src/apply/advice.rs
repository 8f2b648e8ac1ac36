//! What a kernel's answer to a step means, and what to do about it.
//!
//! configfs answers with bare numbers, and with EINVAL for most things; the kernel log has the reason, where there is
//! one to be guessed it is said here.

use nix::errno::Errno;

use crate::configfs::Configfs;
use crate::listening::portal_trouble;
use crate::node::Node;
use crate::portal::Portal;
use crate::step::Step;

/// One sentence for whoever reads the error.
pub(super) fn advice(fs: &dyn Configfs, step: &Step, errno: Errno) -> String {
    specific(fs, step, errno).unwrap_or_else(|| general(errno).to_owned())
}

fn specific(fs: &dyn Configfs, step: &Step, errno: Errno) -> Option<String> {
    let said = |text: &str| Some(text.to_owned());
    match step {
        Step::Mkdir(node) if *node == Node::iscsi() => {
            said("the iSCSI target is not in this kernel: run `modprobe iscsi_target_mod`")
        }
        Step::Mkdir(node) if *node == Node::loopback() => {
            said("local disks are not in this kernel: run `modprobe tcm_loop`, or list this node's iqn instead")
        }
        Step::Write { attr, .. } if errno == Errno::EPERM && attr.name() == "nexus" => said(
            "the kernel still counts the disk as there, for somebody deleted it by hand: have it scanned for (`lunette-node attach`), and try again",
        ),
        Step::Mkdir(node) if under(node, "core") && node.parent() == Some(Node::core()) => {
            said("TCMU is not in this kernel: run `modprobe target_core_user`")
        }
        Step::Mkdir(node) if under(node, "np") => {
            Portal::parse(node.name()).ok().map(|portal| portal_refused(fs, &portal))
        }
        Step::Write { attr, .. } if errno == Errno::ENOENT && attr.as_str().ends_with("attrib/authentication") => said(
            "this kernel cannot ask some initiators for CHAP and others not: give all of them a Secret, or none, or use Linux 6.1 or later",
        ),
        Step::Link { .. } if errno == Errno::ENODEV => {
            said("the device behind it is not enabled yet: apply the backstore first")
        }
        Step::Rmdir(_) if errno == Errno::EBUSY => {
            said("something still links to it: see `find /sys/kernel/config/target -lname '*NAME'`")
        }
        Step::Rmdir(_) if errno == Errno::ENOTEMPTY => {
            said("it holds an object that somebody made meanwhile: Lunette looks again")
        }
        _ => None,
    }
}

fn portal_refused(fs: &dyn Configfs, portal: &Portal) -> String {
    match portal_trouble(fs, portal) {
        Some(trouble) => trouble.to_string(),
        None => {
            format!("portal {portal} cannot be opened, though the address is ours and the port is free: see `dmesg`")
        }
    }
}

/// Whether the element above the last one has this name.
fn under(node: &Node, directory: &str) -> bool {
    node.parent().is_some_and(|parent| parent.name() == directory)
}

fn general(errno: Errno) -> &'static str {
    match errno {
        Errno::EACCES | Errno::EPERM => "writing the target's configfs needs root and CAP_SYS_ADMIN",
        Errno::EROFS => "configfs is mounted read-only here: mount it writable into this container",
        Errno::ENOENT => {
            "something it needs has gone: somebody else changes the target's configfs, or a module is missing"
        }
        Errno::ENOMEM => "the kernel has no memory for it",
        _ => "the kernel's reason is in `dmesg`",
    }
}
