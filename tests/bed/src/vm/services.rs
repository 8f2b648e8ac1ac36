//! What a Debian machine would have started at boot, for the tests that need it.

use super::Vm;
use crate::Result;
use std::time::Duration;

impl Vm {
    /// Starts iscsid under this VM's own initiator name, and makes sure that it answers. Loads the SCSI disk driver
    /// too: udev would do that where it runs.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_iscsid(&self) -> Result<()> {
        self.must("modprobe -a iscsi_tcp sd_mod && mkdir -p /run/lock/iscsi && iscsid")?;
        self.wait_for("iscsiadm -m session 2>&1 | grep -q 'No active sessions'", Duration::from_secs(60)).map(drop)
    }

    /// Starts udevd, for tests that need `/dev/disk/by-*`. Devices themselves appear without it.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_udev(&self) -> Result<()> {
        self.must("/lib/systemd/systemd-udevd --daemon && udevadm trigger && udevadm settle").map(drop)
    }
}
