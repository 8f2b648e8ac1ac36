//! Two VMs, the kernel's own target in one and open-iscsi in the other, with nothing of Lunette between them.

use crate::runner::Context;
use crate::{Result, Vm, VmSpec};
use anyhow::ensure;
use std::time::Duration;

const TARGET: &str = "iqn.2026-01.bed.test:ram";

pub fn two_vms_meet_over_iscsi(context: &Context) -> Result<()> {
    let bed = context.bed()?;
    let [server, client] = Vm::boot_all(&bed, [VmSpec::new("server"), VmSpec::new("client")])?;
    export_memory(&server, &client)?;
    client.start_iscsid()?;
    for portal in [format!("{}", server.ipv4()), format!("[{}]", server.ipv6())] {
        client.must(format!("iscsiadm -m discovery -t sendtargets -p {portal}"))?;
        client.must(format!("iscsiadm -m node -T {TARGET} -p {portal}:3260 --login"))?;
        client.wait_for("test -b /dev/sda", Duration::from_secs(60))?;
        client.must("mkfs.ext4 -q /dev/sda && mount /dev/sda /mnt && echo over-iscsi > /mnt/file && umount /mnt")?;
        client.must("mount /dev/sda /mnt && grep -q over-iscsi /mnt/file && umount /mnt")?;
        client.must(format!("iscsiadm -m node -T {TARGET} -p {portal}:3260 --logout"))?;
        client.wait_for("! test -e /dev/sda", Duration::from_secs(60))?;
    }
    ensure!(
        server.must(format!("ls /sys/kernel/config/target/iscsi/{TARGET}/tpgt_1/acls"))? == client.initiator_name()
    );
    server.dmesg_must_be_clean()?;
    client.dmesg_must_be_clean()
}

/// 64 MiB of memory as LUN 0, for the client alone, on every address.
fn export_memory(server: &Vm, client: &Vm) -> Result<()> {
    let script = format!(
        "set -e
modprobe -a target_core_mod iscsi_target_mod
cd /sys/kernel/config/target
mkdir -p core/rd_mcp_0/ram
echo rd_pages=16384 > core/rd_mcp_0/ram/control
echo 1 > core/rd_mcp_0/ram/enable
mkdir -p iscsi/{TARGET}/tpgt_1/lun/lun_0
cd iscsi/{TARGET}/tpgt_1
ln -s /sys/kernel/config/target/core/rd_mcp_0/ram lun/lun_0/port
mkdir 'np/[::]:3260'
mkdir -p acls/{initiator}/lun_0
ln -s \"$PWD/lun/lun_0\" acls/{initiator}/lun_0/port
echo 0 > attrib/authentication
echo 1 > enable",
        initiator = client.initiator_name()
    );
    server.must(script).map(drop)
}
