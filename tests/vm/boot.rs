//! A Linux whose root is a LUN, by way of QEMU's own initiator. (A firmware that boots from one: see `qemu`.)

use std::time::Duration;

use anyhow::ensure;
use lunette_bed::{GuestCommand, Result, host};
use serde_json::Value;

use super::qemu::{blockdev, chap, program};
use super::site::Site;

/// A kernel takes seconds, on a loaded host longer.
const PATIENCE: Duration = Duration::from_secs(180);
/// Where the initramfs is made, among what the client shares with the host.
const EARLY: &str = "early";

/// Makes a root file system on the disk, whose first program leaves a file behind, and an initramfs that leads to it.
const INSTALL: &str = r#"
set -e
early=/tmp/early root=/mnt/root
mkdir -p $early/bin $early/dev $early/root $early/modules $root
mkfs.ext4 -q -F $disk
mount $disk $root
mkdir $root/bin $root/dev
cp /bin/busybox $early/bin
cp /bin/busybox $root/bin

for wanted in virtio_pci virtio_blk crc32c_generic ext4; do
	modprobe --show-depends $wanted || true
done | awk '$1 == "insmod" && !seen[$2]++ {print $2}' >/tmp/needed
number=10
while read -r module; do
	case $module in
	*.xz) xz -dc $module ;;
	*) cat $module ;;
	esac >$early/modules/$number.ko
	number=$((number + 1))
done </tmp/needed

cat >$early/init <<'END'
#!/bin/busybox sh
b=/bin/busybox
$b mount -t devtmpfs dev /dev
for module in /modules/*; do $b insmod $module; done
until $b mount -t ext4 /dev/vda /root; do $b sleep 0.1; done
$b mount -o move /dev /root/dev
exec $b switch_root /root /init
END
cat >$root/init <<'END'
#!/bin/busybox sh
b=/bin/busybox
$b uname -r >/was-here
$b sync
$b mount -o remount,ro /
echo "root on a LUN: Linux $($b uname -r)"
$b poweroff -f
END
chmod +x $early/init $root/init
(cd $early && find . | busybox cpio -o -H newc 2>/dev/null) >/bed/$archive
umount $root
"#;

/// Boots a Linux whose root is on a LUN that the client sees as `disk`, and QEMU's machine as a disk of its own.
pub fn a_linux_boots_from_it(site: &Site, lun: &Value, disk: &str) -> Result<()> {
    let kernel = site.bed.ground().kernel(site.bed.kernel())?;
    let script = format!("disk={disk} archive={EARLY}\n{INSTALL}");
    site.client.must(GuestCommand::shell(&script).patience(PATIENCE))?;
    let mut machine = program(site, "qemu-system-x86_64");
    machine.args(["-machine", "pc,accel=tcg", "-cpu", "max", "-m", "256", "-display", "none", "-nodefaults"]);
    machine.args(["-serial", "stdio", "-no-reboot", "-append", "console=ttyS0 quiet panic=-1 mitigations=off"]);
    machine.arg("-kernel").arg(kernel.image()).arg("-initrd").arg(site.client.share().join(EARLY));
    machine.args(["-object", &chap(), "-blockdev", &format!("node-name=lun,{}", blockdev(site, lun)?)]);
    machine.args(["-device", "virtio-blk-pci,drive=lun"]);
    let greeting = format!("root on a LUN: Linux {}", kernel.release());
    host::run_until(&mut machine, PATIENCE, |line| line.contains(&greeting))?;
    // The client has the disk's blocks of before in its cache.
    let look = "mount $disk /mnt/root && cat /mnt/root/was-here && umount /mnt/root";
    let left = site.client.must(format!("disk={disk}; blockdev --flushbufs $disk && {look}"))?;
    ensure!(left == kernel.release(), "the Linux whose root it was left {left:?} there");
    Ok(())
}
