//! What a guest offers, and that commands, copies, disks and power cuts do as they say.

use crate::runner::Context;
use crate::{DiskSpec, GuestCommand, Result, Vm, VmSpec, exec};
use anyhow::ensure;
use std::time::{Duration, Instant};

pub fn a_guest_has_what_a_node_needs(context: &Context) -> Result<()> {
    let bed = context.bed()?;
    let vm = Vm::boot(&bed, VmSpec::new("alpha").initiator("iqn.2026-01.bed.test:own-name"))?;
    ensure!(vm.must("hostname")? == "alpha");
    ensure!(vm.must("uname -r")?.starts_with(&format!("{}.", context.kernel())));
    ensure!(vm.must("cat /etc/iscsi/initiatorname.iscsi")? == "InitiatorName=iqn.2026-01.bed.test:own-name");
    vm.must("modprobe -a target_core_user iscsi_target_mod tcm_loop iscsi_tcp")?;
    ensure!(vm.must("ls /sys/kernel/config/target")?.contains("core"), "configfs has no target tree");
    vm.must("busybox ping -c1 -W2 10.77.0.1 && busybox ping -c1 -W2 fd77::1")?;
    the_hosts_root_is_not_written(&vm)?;
    vm.start_udev()?;
    vm.dmesg_must_be_clean()
}

fn the_hosts_root_is_not_written(vm: &Vm) -> Result<()> {
    vm.must("echo guest > /etc/bed-was-here")?;
    ensure!(!std::path::Path::new("/etc/bed-was-here").exists(), "a guest wrote to the host's root");
    Ok(())
}

pub fn commands_in_a_guest_run_side_by_side(context: &Context) -> Result<()> {
    let bed = context.bed()?;
    let vm = Vm::boot(&bed, VmSpec::new("alpha"))?;
    let mut ticking = vm.spawn("ticking", "while :; do echo tick; sleep 0.1; done")?;
    ticking.wait_for_line(Duration::from_secs(60), |line| line == "tick")?;
    let failed = vm.run("echo out; echo err >&2; exit 7")?;
    ensure!((failed.status, failed.stdout.as_str(), failed.stderr.as_str()) == (7, "out\n", "err\n"));
    ticking.wait_for_line(Duration::from_secs(60), |line| line == "tick")?;
    drop(ticking);
    vm.wait_for("! pgrep -f 'echo tic[k]'", Duration::from_secs(60))?;
    large_input_and_output_come_through(&vm)?;
    late_commands_are_given_up(&vm)?;
    a_daemon_does_not_hold_its_starter(&vm)?;
    files_pass_both_ways(&vm, &bed.folder())
}

fn large_input_and_output_come_through(vm: &Vm) -> Result<()> {
    let input = "0123456789abcde\n".repeat(100_000);
    let output = vm.run(GuestCommand::new("cat").input(input.as_str()))?;
    ensure!(output.stdout == input, "{} bytes of {} came back", output.stdout.len(), input.len());
    Ok(())
}

fn late_commands_are_given_up(vm: &Vm) -> Result<()> {
    let error = vm.run(GuestCommand::shell("echo began; sleep 99").patience(Duration::from_secs(1)));
    let message = format!("{:#}", error.expect_err("it sleeps longer than we wait"));
    ensure!(message.contains("not done after 1s") && message.contains("began"), "{message}");
    vm.wait_for("! pgrep -x sleep", Duration::from_secs(60)).map(drop)
}

fn a_daemon_does_not_hold_its_starter(vm: &Vm) -> Result<()> {
    let started = Instant::now();
    vm.must("setsid sleep 77 & echo started")?;
    ensure!(started.elapsed() < Duration::from_secs(20), "the starter waited for the daemon's output to end");
    vm.must("pgrep -x sleep && pkill -x sleep").map(drop)
}

fn files_pass_both_ways(vm: &Vm, folder: &std::path::Path) -> Result<()> {
    let (there, back) = (folder.join("there"), folder.join("back"));
    std::fs::write(&there, b"\0binary\xff")?;
    vm.copy_in(&there, "/root/copied")?;
    vm.copy_out("/root/copied", &back)?;
    ensure!(std::fs::read(&back)? == b"\0binary\xff");
    vm.write("/made/on/the/way/file", "text\n")?;
    ensure!(vm.must("cat /made/on/the/way/file")? == "text");
    Ok(())
}

pub fn a_disk_outlives_a_power_cut(context: &Context) -> Result<()> {
    let bed = context.bed()?;
    let vm = Vm::boot(&bed, VmSpec::new("alpha").disk(DiskSpec::empty("data", 256 << 20)))?;
    let device = vm.disk("data")?;
    vm.must(format!("mkfs.ext4 -q {0} && mount {0} /mnt && echo kept > /mnt/file && sync", device.display()))?;
    vm.must("echo lost > /root/file")?;
    let mut running = vm.spawn("sleeper", "sleep 99")?;
    vm.power_cut()?;
    let gone = running.next_line(Duration::from_secs(5)).expect_err("the guest is gone");
    ensure!(format!("{gone:#}").contains("the guest was gone"), "{gone:#}");
    vm.power_on()?;
    ensure!(vm.must(format!("mount {} /mnt && cat /mnt/file", device.display()))? == "kept");
    ensure!(!vm.run("cat /root/file")?.success(), "the guest's memory outlived a power cut");
    Ok(())
}

pub fn a_disk_over_an_image_leaves_it_as_it_is(context: &Context) -> Result<()> {
    let bed = context.bed()?;
    let image = bed.folder().join("image");
    std::fs::write(&image, b"image\n".repeat(100_000))?;
    let vm = Vm::boot(&bed, VmSpec::new("alpha").disk(DiskSpec::over("root", &image)))?;
    ensure!(vm.must("head -c 6 /dev/vda")? == "image");
    vm.must("printf other | dd of=/dev/vda conv=notrunc,fsync status=none")?;
    vm.power_cycle()?;
    ensure!(vm.must("head -c 6 /dev/vda")? == "other", "what was written is gone");
    ensure!(std::fs::read(&image)?.starts_with(b"image\n"), "the image itself was written");
    Ok(())
}

pub fn a_guest_can_be_cut_off_and_frozen(context: &Context) -> Result<()> {
    let bed = context.bed()?;
    let vm = Vm::boot(&bed, VmSpec::new("alpha"))?;
    let answers = || bed.net().connect(vm.ipv4().into(), exec::PORT, Duration::from_secs(2)).is_ok();
    ensure!(answers());
    bed.net().unplug(vm.guest())?;
    ensure!(!answers(), "it answers without a cable");
    bed.net().plug(vm.guest())?;
    ensure!(answers(), "it does not answer with its cable back");
    let mut ticking = vm.spawn("ticking", "while :; do echo tick; sleep 0.1; done")?;
    ticking.next_line(Duration::from_secs(60))?;
    vm.freeze()?;
    while ticking.next_line(Duration::from_secs(1)).is_ok() {}
    vm.thaw()?;
    ensure!(ticking.next_line(Duration::from_secs(60))?.is_some(), "it does not go on");
    vm.dmesg_must_be_clean()
}
