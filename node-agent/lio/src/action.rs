//! The switches of a living backstore that the agent turns when it takes a ring over, and where its UIO device is.
//!
//! Takeover after a dead agent (tcmu.md §2.4): block, open the UIO device, reset the ring, serve, unblock. These are
//! no part of a plan: they are about commands in flight, not about what should exist.

use std::borrow::Cow;
use std::path::PathBuf;

use nix::errno::Errno;

use crate::configfs::Configfs;
use crate::name::dev_config;
use crate::node::Node;
use crate::tree::Found;

/// How the commands that are in the ring are answered when it is reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetAnswer {
    /// BUSY: the initiator sends them again.
    Busy,
    /// CHECK CONDITION: the initiator sees an I/O error. Only to give up on a device.
    Fail,
}

/// Why a switch could not be turned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot write {value} to {attr}: {errno}; is the device still enabled?")]
pub struct ActionError {
    /// The switch.
    pub attr: Node,
    /// What was written.
    pub value: Cow<'static, str>,
    /// The kernel's answer.
    pub errno: Errno,
}

/// Has new commands answered BUSY, or lets them into the ring again. Repeating it is harmless.
pub fn block_dev(fs: &dyn Configfs, found: &Found, block: bool) -> Result<(), ActionError> {
    act(fs, found, "block_dev", if block { "1" } else { "0" })
}

/// Ends every command in the ring with that answer and starts it anew, head and tail at 0.
pub fn reset_ring(fs: &dyn Configfs, found: &Found, answer: ResetAnswer) -> Result<(), ActionError> {
    let value = match answer {
        ResetAnswer::Busy => "1",
        ResetAnswer::Fail => "2",
    };
    act(fs, found, "reset_ring", value)
}

/// Gives the kernel back the buffers of a command that was answered and whose buffers were kept (`TCMU_UFLAG_KEEP_BUF`).
pub fn free_kept_buf(fs: &dyn Configfs, found: &Found, cmd_id: u16) -> Result<(), ActionError> {
    act(fs, found, "free_kept_buf", cmd_id.to_string())
}

fn act(fs: &dyn Configfs, found: &Found, file: &str, value: impl Into<Cow<'static, str>>) -> Result<(), ActionError> {
    let value = value.into();
    let attr = found.device().child("action").child(file);
    fs.write_once(&attr, value.as_bytes()).map_err(|errno| ActionError { attr, value, errno })
}

/// The device file through which the agent serves this backstore; `None` while it is not enabled.
///
/// The kernel names it `tcm-user/<hba>/<device>/<dev_config>` (`tcmu_update_uio_info`).
pub fn uio_device(fs: &dyn Configfs, found: &Found) -> Result<Option<PathBuf>, Errno> {
    let name = format!("tcm-user/{}/{}/{}", found.hba.number.0, found.device().name(), dev_config(&found.uid));
    Ok(fs.uio_minor(&name)?.map(|minor| PathBuf::from(format!("/dev/uio{minor}"))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{export, kernel_with, read};

    #[test]
    fn a_ring_is_taken_over_by_block_reset_unblock() {
        let fs = kernel_with(&export([]));
        let found = read(&fs);
        let blocked = || fs.read(&found.device().child("action/block_dev")).unwrap();
        block_dev(&fs, &found, true).unwrap();
        assert_eq!(blocked(), "blocked\n");
        reset_ring(&fs, &found, ResetAnswer::Busy).unwrap();
        block_dev(&fs, &found, false).unwrap();
        assert_eq!(blocked(), "unblocked\n");
    }

    #[test]
    fn the_uio_device_is_found_by_the_name_that_the_kernel_gives_it() {
        let fs = kernel_with(&export([]));
        assert_eq!(uio_device(&fs, &read(&fs)), Ok(Some(PathBuf::from("/dev/uio0"))));
    }

    #[test]
    fn kept_buffers_are_freed_by_their_commands_id() {
        let fs = kernel_with(&export([]));
        assert_eq!(free_kept_buf(&fs, &read(&fs), 65_535), Ok(()));
    }

    #[test]
    fn a_device_that_is_not_enabled_has_no_ring() {
        let fs = crate::configfs::Fake::new();
        let found = read(&fs);
        assert_eq!(uio_device(&fs, &found), Ok(None));
        assert_eq!(reset_ring(&fs, &found, ResetAnswer::Fail).unwrap_err().errno, Errno::ENOENT);
    }
}
