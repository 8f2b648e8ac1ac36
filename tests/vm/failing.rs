//! A disk below a pool that cannot read or write some blocks, or hangs: device-mapper plays it under the pool's file
//! system, so that the agent meets what a broken disk would make the kernel say.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use lunette_bed::{Context, GuestCommand, Process, Result};

use super::manifest::{lun_in, pool, pool_at};
use super::site::{SOON, SPARE, Site, patiently, say};
use super::stuck::{nothing_waits_for_ever, p99};

/// MiB of the LUN on the failing disk.
const SIZE: u64 = 16;
/// The block of that LUN that is flawed (its first; a file system's block is eight of them), and with how many.
const FLAW: u64 = 4096;
const FLAWED: u64 = 8;
/// How long the client's kernel lets a command run before it gives it up. Six times that is all it tries.
const PATIENCE: Duration = Duration::from_secs(20);

pub fn a_failing_disk_is_told_as_it_is_and_harms_only_its_own_lun(context: &Context) -> Result<()> {
    let site = Site::shared(context)?;
    on_failing_disk(&site, |disk| {
        fails(&site, disk)?;
        falls_short(&site, disk)
    })
}

pub fn an_initiator_gives_up_commands_of_a_hanging_disk_and_keeps_its_session(context: &Context) -> Result<()> {
    let site = Site::shared(context)?;
    on_failing_disk(&site, |disk| hangs(&site, disk))
}

/// The spare disk behind device-mapper.
pub struct Disk {
    sectors: u64,
}

/// Does something with the pool `spare` on a disk that can fail. Other tests find the spare disk as it was.
pub fn on_failing_disk(site: &Site, act: impl FnOnce(&Disk) -> Result<()>) -> Result<()> {
    let sectors = site.node.must(format!("modprobe dm_mod; umount {SPARE}; blockdev --getsz /dev/vdb"))?;
    let disk = Disk { sectors: sectors.parse()? };
    site.node.must(format!(
        "DM_DISABLE_UDEV=1 dmsetup create spare --table '{}' && mkfs.ext4 -q -F /dev/mapper/spare 512M && \
         mount /dev/mapper/spare {SPARE} && mkdir {SPARE}/pool",
        disk.whole()
    ))?;
    let outcome = act(&disk);
    let clear = format!(
        "umount {SPARE} && DM_DISABLE_UDEV=1 dmsetup remove spare && mkfs.ext4 -q -F /dev/vdb && \
         mount /dev/vdb {SPARE} && mkdir -p {SPARE}/pool"
    );
    outcome.and_then(|()| site.node.must(clear).map(drop))
}

impl Disk {
    fn whole(&self) -> String {
        format!("0 {} linear /dev/vdb 0", self.sectors)
    }

    /// With these sectors flawed.
    fn flawed(&self, at: u64) -> String {
        let after = at + FLAWED;
        let rest = self.sectors - after;
        format!("0 {at} linear /dev/vdb 0\n{at} {FLAWED} error\n{after} {rest} linear /dev/vdb {after}")
    }

    /// Becomes as said, at once.
    fn become_so(&self, site: &Site, table: &str) -> Result<()> {
        let script = format!(
            "export DM_DISABLE_UDEV=1; dmsetup load spare <<'END' && dmsetup suspend --noflush --nolockfs spare && dmsetup resume spare\n{table}\nEND"
        );
        site.node.must(script).map(drop)
    }

    /// From now on requests wait.
    pub fn hang(&self, site: &Site) -> Result<()> {
        site.node.must("DM_DISABLE_UDEV=1 dmsetup suspend --noflush --nolockfs spare").map(drop)
    }

    /// Those that wait, and others, are carried out.
    pub fn go_on(&self, site: &Site) -> Result<()> {
        site.node.must("DM_DISABLE_UDEV=1 dmsetup resume spare").map(drop)
    }
}

/// Starts the agent with a LUN on the failing disk, written once, and one beside it: the agent, both disks.
fn attach(site: &Site, io: &str) -> Result<(Process, String, String)> {
    let spare = pool_at("spare", &format!("path: {SPARE}/pool, io: {io}"));
    site.apply("pools.yaml", &(pool() + &spare))?;
    let agent = site.start_agent()?;
    let (_, well) = site.attach("well", "64Mi", "")?;
    let client = format!("{{iqn: '{}'}}", site.client.initiator_name());
    site.apply("ill.yaml", &lun_in("spare", "ill", &format!("{SIZE}Mi"), &client, ""))?;
    let ill = site.login(&site.wait_ready("ill", true)?, None)?;
    site.client.must(format!(
        "yes lunette | head -c {SIZE}M >/tmp/written && dd if=/tmp/written of={ill} bs=1M oflag=direct status=none"
    ))?;
    Ok((agent, well, ill))
}

fn fails(site: &Site, disk: &Disk) -> Result<()> {
    let (agent, _, ill) = attach(site, "Direct")?;
    let at = sector_of(site, FLAW)?;
    disk.become_so(site, &disk.flawed(at))?;
    a_read_names_the_block(site, &ill)?;
    what_is_before_it_is_read(site, &ill)?;
    let write = site.client.run(command(&ill, "2a", FLAW, FLAWED, "-s 4096 -i /dev/zero"))?;
    let said = write.stdout + &write.stderr;
    ensure!(said.contains("Medium Error") && said.contains("Write error"), "a WRITE of flawed blocks says:\n{said}");
    disk.become_so(site, &disk.whole())?;
    site.client.must(format!("cmp {ill} /tmp/written")).context("once the disk is well again")?;
    site.end(agent)
}

/// Where the page cache is between, the kernel gives the agent what is before the flaw and no error: a short transfer, whose
/// rest is asked for and fails.
fn falls_short(site: &Site, disk: &Disk) -> Result<()> {
    let (agent, _, ill) = attach(site, "Buffered")?;
    let at = sector_of(site, FLAW)?;
    site.node.must("sync; echo 3 >/proc/sys/vm/drop_caches")?;
    disk.become_so(site, &disk.flawed(at))?;
    let skip = (FLAW - 64) * 512;
    let read =
        format!("dd if=$(echo {SPARE}/pool/*/data) of=/dev/null bs=64k iflag=skip_bytes skip={skip} count=1 2>&1");
    let short = site.node.must(read)?;
    ensure!(short.contains("0+1 records in"), "a read across the flaw is not short:\n{short}");
    a_read_names_the_block(site, &ill)?;
    what_is_before_it_is_read(site, &ill)?;
    disk.become_so(site, &disk.whole())?;
    site.client.must(format!("cmp {ill} /tmp/written")).context("once the disk is well again")?;
    site.end(agent)
}

/// The sector of the disk where a block of the LUN is.
fn sector_of(site: &Site, block: u64) -> Result<u64> {
    let listed = site.node.must(format!("sync; filefrag -b512 -v {SPARE}/pool/*/data"))?;
    // `   0:        0..   32767:     278528..    311295:  32768:             last,eof`
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let found = listed.lines().find_map(|line| {
        let mut columns = line.split(':').skip(1);
        let mut range = || columns.next()?.split_once("..").map(|(first, last)| (number(first), number(last)));
        let ((first, last), (start, _)) = (range()?, range()?);
        (first?..=last?).contains(&block).then(|| Some(start? + block - first?))?
    });
    found.with_context(|| format!("where is block {block}?\n{listed}"))
}

/// sg_raw with a ten-byte CDB.
pub fn command(disk: &str, opcode: &str, lba: u64, blocks: u64, options: &str) -> String {
    let hex = |number: u64| number.to_be_bytes()[4..].iter().map(|byte| format!("{byte:02x} ")).collect::<String>();
    let count = hex(blocks);
    format!("sg_raw {options} {disk} {opcode} 00 {}00 {}00", hex(lba), &count[6..])
}

fn a_read_names_the_block(site: &Site, ill: &str) -> Result<()> {
    for before in [0, 1, 64] {
        let read = site.client.run(command(ill, "28", FLAW - before, 128, "-r 65536 -o /tmp/read"))?;
        let said = read.stdout + &read.stderr;
        let named = format!("[{FLAW}]");
        let right = ["Medium Error", "Unrecovered read error", named.as_str()].iter().all(|word| said.contains(word));
        ensure!(right, "a READ with a flaw after {before} blocks says:\n{said}");
    }
    Ok(())
}

/// The client's kernel takes all before the named block for read. That must be so, and not only be said.
fn what_is_before_it_is_read(site: &Site, ill: &str) -> Result<()> {
    let (first, pages) = (FLAW / 8 - 16, 16);
    let script = format!(
        "echo 3 >/proc/sys/vm/drop_caches; blockdev --setra 512 {ill}; dd if={ill} of=/tmp/read bs=4k skip={first} count={pages} status=none && \
         cmp -n $(({pages} * 4096)) -i 0:$(({first} * 4096)) /tmp/read /tmp/written; \
         ! dd if={ill} of=/dev/null bs=4k skip={} count=1 iflag=direct status=none 2>/dev/null",
        FLAW / 8
    );
    site.client.must(script).map(drop)
}

fn hangs(site: &Site, disk: &Disk) -> Result<()> {
    let (agent, well, ill) = attach(site, "Direct")?;
    let (errors, dropped) = (site.errors_so_far()?, dropped_sessions(site)?);
    let usual = p99(site, &well)?;
    let name = ill.trim_start_matches("/dev/").to_owned();
    site.client.must(format!("echo {} >/sys/block/{name}/device/timeout", PATIENCE.as_secs()))?;
    disk.hang(site)?;
    // Both a write, whose data the storage still has to take, and a read.
    let writer =
        io(site, &format!("dd if=/tmp/written of={ill} bs=64k count=1 oflag=direct conv=notrunc status=none"))?;
    let reader = io(site, &format!("dd if={ill} of=/dev/null bs=64k skip=8 count=1 iflag=direct status=none"))?;
    site.client.wait_for(format!("read r w </sys/block/{name}/inflight && [ $r = 1 ] && [ $w = 1 ]"), SOON)?;
    let reset = Instant::now();
    site.client.must(format!("sg_reset -d {ill}")).context("LOGICAL UNIT RESET")?;
    let reset = reset.elapsed();
    let told = task_management(site)?;
    ensure!(told > 0, "the agent has not been told of the reset");
    patiently(SOON, || {
        ensure!(task_management(site)? > told, "no command was given up since the reset");
        Ok(())
    })?;
    let beside = p99(site, &well)?;
    nobody_waits_but_storage(site)?;
    disk.go_on(site)?;
    for io in [writer, reader] {
        io.wait()?.ok().context("I/O that was given up and tried again")?;
    }
    site.client.must(format!("cmp {ill} /tmp/written"))?;
    say(&format!(
        "LOGICAL UNIT RESET of a hanging disk took {:.1} s; p99 of a LUN beside it: {:.2} times the usual {usual:?}",
        reset.as_secs_f64(),
        beside.as_secs_f64() / usual.as_secs_f64()
    ));
    site.no_io_errors_since(&errors)?;
    ensure!(dropped_sessions(site)? == dropped, "the client has dropped its session:\n{}", dropped_sessions(site)?);
    nothing_waits_for_ever(site, agent.pid())?;
    site.end(agent)
}

/// What the client's kernel says of sessions that it gave up; tests before this one cut the node's power.
fn dropped_sessions(site: &Site) -> Result<String> {
    site.client.must("dmesg | grep 'detected conn error' || true")
}

fn io(site: &Site, line: &str) -> Result<Process> {
    site.client.spawn("io", GuestCommand::shell(line).patience(2 * SOON))
}

/// Task management functions that the agent was told of.
fn task_management(site: &Site) -> Result<u64> {
    let metrics = site.node.must("busybox wget -qO- http://127.0.0.1:9810/metrics")?;
    let counts = metrics.lines().filter(|line| line.starts_with("lunette_lun_task_management"));
    counts.map(|line| line.rsplit(' ').next().unwrap_or_default().parse::<u64>().context("a count is no number")).sum()
}

/// While storage hangs, no thread of the iSCSI target does: others can log in.
fn nobody_waits_but_storage(site: &Site) -> Result<()> {
    let waiting = site.node.must(
        "grep -ls '^State:.D' /proc/[0-9]*/status | while read t; do cat ${t%status}comm; done | grep -e iscsi -e lun- || true",
    )?;
    ensure!(waiting.is_empty(), "these wait for a hanging disk:\n{waiting}");
    let well = site.lun("well")?;
    site.logout(&well)?;
    site.login(&well, None).context("while another LUN's disk hangs").map(drop)
}
