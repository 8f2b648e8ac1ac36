//! How the device below a pool is used past the page cache: a disk through io_uring, so that nothing else has to wait for it, and
//! memory, which is never waited for, by plain calls.

use anyhow::{Context as _, ensure};
use lunette_bed::{Context, Process, Result};

use super::initiator::VERIFY;
use super::manifest::{lun_in, pool, pool_at};
use super::site::Site;

/// Where the RAM disk is mounted.
const RAM: &str = "/srv/ram";
/// MiB that are written, and read to be verified.
const WRITTEN: u64 = 8;

pub fn a_device_of_memory_is_used_by_plain_calls(context: &Context) -> Result<()> {
    let site = Site::shared(context)?;
    site.node.must(format!(
        "modprobe brd rd_nr=1 rd_size=65536 && mkfs.ext4 -q /dev/ram0 && mkdir -p {RAM} && mount /dev/ram0 {RAM} && \
         mkdir {RAM}/pool"
    ))?;
    site.apply("pools.yaml", &(pool() + &pool_at("memory", &format!("path: {RAM}/pool, io: Direct"))))?;
    let agent = site.start_agent()?;
    let [on_disk, in_memory] = ["files", "memory"].map(|pool| by_calls(&site, &agent, pool));
    let (on_disk, in_memory) = (on_disk?, in_memory?);
    ensure!(on_disk.iter().all(|bytes| *bytes < 1 << 20), "bytes read and written by calls, on a disk: {on_disk:?}");
    // An emulated processor that is taken away in the midst of calls looks like a slow device, which is queued for a time.
    let (all, enough) = (WRITTEN << 20, WRITTEN << 18);
    ensure!(in_memory.iter().all(|bytes| *bytes >= enough), "of {all} bytes read and written by calls: {in_memory:?}");
    site.end(agent)?;
    site.node.must(format!("umount {RAM} && rmmod brd")).map(drop)
}

/// How many bytes the agent reads and writes by system calls while fio writes and verifies a LUN of this pool once more.
fn by_calls(site: &Site, agent: &Process, pool: &str) -> Result<[u64; 2]> {
    let client = format!("{{iqn: '{}'}}", site.client.initiator_name());
    site.apply(&format!("{pool}.yaml"), &lun_in(pool, pool, "32Mi", &client, ""))?;
    let disk = site.login(&site.wait_ready(pool, true)?, None)?;
    let options = format!("--rw=randwrite --bs=4k --size={WRITTEN}M {VERIFY}");
    site.fio(&disk, &options)?;
    let before = counted(site, agent)?;
    site.fio(&disk, &options)?;
    let after = counted(site, agent)?;
    Ok([after[0] - before[0], after[1] - before[1]])
}

/// `rchar` and `wchar` of proc_pid_io(5), in which io_uring has no part.
fn counted(site: &Site, agent: &Process) -> Result<[u64; 2]> {
    let said = site.node.must(format!("head -n 2 /proc/{}/io", agent.pid()))?;
    let figure = |line: &str| line.rsplit(' ').next().and_then(|word| word.parse::<u64>().ok());
    let figures: Vec<u64> = said.lines().filter_map(figure).collect();
    figures.try_into().ok().with_context(|| format!("no two figures in {said:?}"))
}
