//! A node that is short of memory and full of dirty pages of its own disk: the kernel has to write them out to get
//! memory back, and waits for the agent meanwhile. Neither may wait for the other.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use lunette_bed::{Context, DiskSpec, GuestCommand, Result, Vm, VmSpec};

use super::site::{agent_binary, patiently};

/// The node's memory in MiB.
const MEMORY: u32 = 512;
/// MiB that are written through the page cache: more than there is memory.
const WRITTEN: u32 = 768;
/// Far longer than it takes under emulation.
const LONG: Duration = Duration::from_secs(600);

pub fn a_local_disk_survives_a_lack_of_memory(context: &Context) -> Result<()> {
    let bed = context.bed()?;
    let vm = Vm::boot(&bed, VmSpec::new("pressed").memory_mib(MEMORY).disk(DiskSpec::empty("pool", 4 << 30)))?;
    vm.must("mkdir -p /etc/lunette /srv && mkfs.ext4 -q /dev/vda && mount /dev/vda /srv && mkdir -p /srv/pool")?;
    let manifest = super::manifest::pool_at("files", "path: /srv/pool")
        + &super::manifest::lun_in("files", "db", "1536Mi", "{nodeName: pressed}", "");
    vm.write("/etc/lunette/db.yaml", &manifest)?;
    let binary = agent_binary(&bed);
    let serve = format!(
        "exec {} serve --manifests /etc/lunette --state-dir /srv/state --node pressed --portal {}:3260",
        binary.display(),
        vm.ipv4()
    );
    let agent = vm.spawn("agent", GuestCommand::shell(&serve))?;
    is_prepared(&vm)?;
    let said = patiently(LONG, || vm.must(format!("{} attach default/db --timeout 60", binary.display())))?;
    let disk = said.split_whitespace().last().context("attach prints nothing")?.to_owned();
    vm.must(format!("mkfs.ext4 -q {disk} && mount {disk} /mnt"))?;
    write_more_than_there_is_memory(&vm)?;
    vm.must(format!("umount /mnt && {} detach default/db", binary.display()))?;
    agent.signal(nix::sys::signal::Signal::SIGTERM)?;
    agent.wait()?.ok()?;
    vm.dmesg_must_be_clean()
}

/// The agent's memory is locked, and all of its threads are I/O flushers (PF_MEMALLOC_NOIO, 0x80000 in the flags).
fn is_prepared(vm: &Vm) -> Result<()> {
    patiently(LONG, || vm.must("pidof lunette-node").map(drop))?;
    patiently(LONG, || {
        let locked = vm.must("grep VmLck /proc/$(pidof lunette-node)/status | tr -dc 0-9")?;
        ensure!(locked.parse::<u64>()? > 1000, "the agent has locked {locked} kB");
        let flags =
            vm.must("for t in /proc/$(pidof lunette-node)/task/*; do sed 's/.*) //' $t/stat | cut -d' ' -f7; done")?;
        let without =
            flags.lines().filter(|flags| flags.parse::<u64>().is_ok_and(|flags| flags & 0x8_0000 == 0)).count();
        ensure!(without == 0, "{without} threads of the agent are no I/O flushers:\n{flags}");
        Ok(())
    })
}

/// Lets most memory become dirty, takes the rest away, and reads back what was written. Should memory end, that which
/// was taken away is given back first: with all of it dirty and storage slow the kernel would kill whatever it finds.
fn write_more_than_there_is_memory(vm: &Vm) -> Result<()> {
    vm.must("sysctl -q vm.dirty_background_ratio=60 vm.dirty_ratio=70 vm.dirty_expire_centisecs=60000")?;
    let hog = "(echo 1000 >/proc/self/oom_score_adj; exec tail -c 120M /dev/zero) | sleep 100000";
    let hog = vm.spawn("hog", GuestCommand::shell(hog).patience(LONG))?;
    let fio = format!(
        "fio --name=bed --filename=/mnt/file --size={WRITTEN}m --rw=write --bs=1m --ioengine=psync --verify=crc32c"
    );
    let write = format!("{fio} --do_verify=0; sync; echo 3 > /proc/sys/vm/drop_caches");
    vm.must(GuestCommand::shell(&write).patience(LONG))?;
    vm.must(GuestCommand::shell(&format!("{fio} --verify_only")).patience(LONG))?;
    hog.signal(nix::sys::signal::Signal::SIGKILL)?;
    vm.must("sysctl -q vm.dirty_background_ratio=10 vm.dirty_ratio=20").map(drop)
}
