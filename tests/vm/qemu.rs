//! QEMU's own iSCSI initiator, beside Linux's on one LUN, and machines that boot from that LUN.

use std::process::Command;
use std::time::Duration;

use anyhow::ensure;
use lunette_bed::{Context, Result, host};
use serde_json::Value;

use super::boot::a_linux_boots_from_it;
use super::initiator::target;
use super::manifest::{PASSWORD, lun_in, pool, secret};
use super::site::Site;

/// QEMU's name as an initiator; it comes with CHAP.
const QEMU: &str = "iqn.2026-01.bed.test:qemu";
/// A PC's firmware takes seconds, a loaded host longer.
const BOOT: Duration = Duration::from_secs(120);

pub fn qemu_shares_a_lun_and_boots_from_it(context: &Context) -> Result<()> {
    let site = Site::shared(context)?;
    site.apply("pool.yaml", &pool())?;
    site.apply("secrets.yaml", &secret("qemu", &[("username", "qemu"), ("password", PASSWORD)]))?;
    let agent = site.start_agent()?;
    let initiators =
        format!("{{iqn: '{}'}}, {{iqn: '{QEMU}', chapSecret: {{name: qemu}}}}", site.client.initiator_name());
    site.apply("shared.yaml", &lun_in("files", "shared", "64Mi", &initiators, ", reclaimPolicy: Delete"))?;
    let lun = site.wait_ready("shared", true)?;
    let disk = site.login(&lun, None)?;
    both_see_one_disk(&site, &lun, &disk)?;
    a_reservation_keeps_qemu_out(&site, &lun, &disk)?;
    a_machine_boots_from_it(&site, &lun, &disk)?;
    a_linux_boots_from_it(&site, &lun, &disk)?;
    site.logout(&lun)?;
    site.end(agent)
}

/// A program of QEMU's on the host's side, in the bed's network.
pub fn program(site: &Site, name: &str) -> Command {
    site.bed.command(format!("/usr/bin/{name}"))
}

/// Where it finds the CHAP secret.
pub fn chap() -> String {
    format!("secret,id=chap,data={PASSWORD}")
}

/// The LUN as QEMU's block layer names it.
pub fn blockdev(site: &Site, lun: &Value) -> Result<String> {
    Ok(format!(
        "driver=iscsi,transport=tcp,portal={},target={},lun=0,initiator-name={QEMU},user=qemu,password-secret=chap",
        site.portal(),
        target(lun)?
    ))
}

/// What `qemu-io` says to these commands, whether they were done or not.
fn qemu_io(site: &Site, lun: &Value, commands: &[&str]) -> Result<String> {
    let mut qemu = program(site, "qemu-io");
    qemu.args(["--object", &chap(), "--image-opts", &blockdev(site, lun)?]);
    for line in commands {
        qemu.args(["-c", line]);
    }
    let output = host::capture(&mut qemu, b"")?;
    Ok(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

/// What one wrote, the other reads.
fn both_see_one_disk(site: &Site, lun: &Value, disk: &str) -> Result<()> {
    let mut info = program(site, "qemu-img");
    info.args(["info", "--object", &chap(), "--image-opts", &blockdev(site, lun)?]);
    let told = host::run(&mut info)?;
    ensure!(told.contains("virtual size: 64 MiB"), "qemu-img says\n{told}");
    let done = [
        "write -P 0x41 0 1M",
        "write -z 64k 64k",
        "discard 128k 64k",
        "flush",
        "read -P 0x41 0 64k",
        "read -P 0 64k 128k",
    ];
    let said = qemu_io(site, lun, &done)?;
    let all =
        ["wrote 1048576/1048576", "wrote 65536/65536", "discard 65536/65536", "read 65536/65536", "read 131072/131072"];
    ensure!(all.iter().all(|line| said.contains(line)) && !said.contains("failed"), "qemu-io says\n{said}");
    let first = format!("dd if={disk} bs=64k count=1 iflag=direct 2>/dev/null >/tmp/read");
    site.client.must(format!("{first} && head -c 65536 /dev/zero | tr '\\0' A | cmp - /tmp/read"))?;
    site.client.must(format!("cmp -n 131072 -i 65536:0 {disk} /dev/zero"))?;
    let letters = "head -c 65536 /dev/zero | tr '\\0' C";
    site.client.must(format!("{letters} | dd of={disk} bs=64k seek=8 oflag=direct iflag=fullblock 2>/dev/null"))?;
    let said = qemu_io(site, lun, &["read -P 0x43 512k 64k"])?;
    ensure!(said.contains("read 65536/65536") && !said.contains("failed"), "of what Linux wrote, qemu-io says\n{said}");
    Ok(())
}

/// A persistent reservation of the client's: QEMU reads, and does not write, until it is released.
fn a_reservation_keeps_qemu_out(site: &Site, lun: &Value, disk: &str) -> Result<()> {
    const WRITE_EXCLUSIVE: u8 = 1;
    let out = |what: &str| site.client.must(format!("sg_persist --out {what} --prout-type={WRITE_EXCLUSIVE} {disk}"));
    let try_both = || qemu_io(site, lun, &["read -P 0x41 0 64k", "write -P 0x44 0 64k"]);
    out("--register --param-sark=abc123")?;
    out("--reserve --param-rk=abc123")?;
    let refused = try_both()?;
    let as_it_should = refused.contains("read 65536/65536") && refused.contains("write failed");
    ensure!(as_it_should, "kept out, qemu-io says\n{refused}");
    out("--release --param-rk=abc123")?;
    out("--register --param-rk=abc123 --param-sark=0")?;
    let allowed = try_both()?;
    let as_it_should = allowed.contains("read 65536/65536") && allowed.contains("wrote 65536/65536");
    ensure!(as_it_should, "let in again, qemu-io says\n{allowed}");
    Ok(())
}

/// A PC's firmware reads the first block over iSCSI and runs it; that reads another block by way of the firmware, and
/// writes to the serial port what it finds there.
fn a_machine_boots_from_it(site: &Site, lun: &Value, disk: &str) -> Result<()> {
    const GREETING: &str = "booted from a LUN";
    const GREETING_LBA: u32 = 2000;
    let share = site.client.share();
    std::fs::write(share.join("boot"), boot_block(GREETING_LBA))?;
    std::fs::write(share.join("greeting"), format!("{GREETING}\r\n\0"))?;
    for (file, lba) in [("boot", 0), ("greeting", GREETING_LBA)] {
        site.client.must(format!("dd if=/bed/{file} of={disk} bs=512 seek={lba} conv=sync,fsync 2>/dev/null"))?;
    }
    let mut machine = program(site, "qemu-system-x86_64");
    machine.args(["-machine", "pc,accel=tcg", "-m", "32", "-display", "none", "-nodefaults", "-serial", "stdio"]);
    machine.args(["-object", &chap(), "-blockdev", &format!("node-name=lun,{}", blockdev(site, lun)?)]);
    machine.args(["-device", "virtio-blk-pci,drive=lun,bootindex=0"]);
    host::run_until(&mut machine, BOOT, |line| line.contains(GREETING)).map(drop)
}

/// A boot block for a PC's firmware, which loads it at 7C00h and tells the disk's number in DL.
fn boot_block(lba: u32) -> [u8; 512] {
    /// Reads one block to 7E00h with the disk address packet at 7C20h (INT 13h, function 42h), and puts out its bytes
    /// at the first serial port (3F8h) up to the first zero.
    const CODE: [u8; 29] = [
        0xfc, // cld
        0x31, 0xc0, // xor ax, ax
        0x8e, 0xd8, // mov ds, ax
        0xbe, 0x20, 0x7c, // mov si, 7c20h
        0xb4, 0x42, // mov ah, 42h
        0xcd, 0x13, // int 13h
        0xbe, 0x00, 0x7e, // mov si, 7e00h
        0xba, 0xf8, 0x03, // mov dx, 3f8h
        0xac, // next: lodsb
        0x84, 0xc0, // test al, al
        0x74, 0x03, // jz end
        0xee, // out dx, al
        0xeb, 0xf8, // jmp next
        0xf4, // end: hlt
        0xeb, 0xfd, // jmp end
    ];
    const PACKET: usize = 0x20;
    let mut block = [0; 512];
    block[..CODE.len()].copy_from_slice(&CODE);
    // 16 bytes long, one block, to 0000h:7E00h.
    block[PACKET..PACKET + 8].copy_from_slice(&[0x10, 0, 1, 0, 0x00, 0x7e, 0, 0]);
    block[PACKET + 8..PACKET + 12].copy_from_slice(&lba.to_le_bytes());
    block[510..].copy_from_slice(&[0x55, 0xaa]);
    block
}
