//! SCSI disks that a guest sees.

use super::Vm;
use crate::Result;
use std::time::Duration;

impl Vm {
    /// Waits for the disk of that identity (`naa.…`, as sysfs has it in `device/wwid`); its path, such as `/dev/sda`.
    ///
    /// # Errors
    /// When there is none in time.
    pub fn wait_for_disk(&self, wwid: &str, patience: Duration) -> Result<String> {
        let find = format!(
            "for d in /sys/block/sd*; do [ \"$(cat $d/device/wwid)\" = {wwid} ] && echo /dev/${{d##*/}}; done | grep /dev/"
        );
        self.wait_for(find, patience)
    }
}
