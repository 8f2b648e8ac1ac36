//! A thousand LUNs on one node: how long the agent takes until all are served, what they cost while they do nothing, and
//! whether one LUN's coming and going takes longer for the others being there.
//!
//! Times are printed, not judged: they are an emulated machine's. Memory is judged.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use lunette_bed::{Context, Result, VmSpec};

use super::held::Held;
use super::manifest::pool;
use super::site::{POOL, SERVED, Site, agent_binary, patiently, say};

/// How many there are at each look.
const CROWDS: [usize; 3] = [10, 100, 1000];
/// How often one comes and goes at each look; the median counts.
const ROUNDS: usize = 5;
/// Enough for a thousand, on a busy machine under emulation.
const PATIENCE: Duration = Duration::from_secs(400);
/// How long idleness is watched.
const IDLE: Duration = Duration::from_secs(60);
/// What is promised for an idle LUN, the kernel's ring included.
const MOST_KIB: u64 = 4096;
/// A thousand rings, and what the kernel keeps beside each.
const MEMORY_MIB: u32 = 6144;

pub fn a_thousand_luns_are_served(context: &Context) -> Result<()> {
    let site = Site::with_node(context, VmSpec::new("node").memory_mib(MEMORY_MIB))?;
    let crowd = Crowd { site: &site };
    site.apply("pool.yaml", &pool())?;
    let agent = site.start_agent()?;
    patiently(PATIENCE, || site.luns())?;
    let (empty, kernel) = (Held::by(&site, agent.pid())?, crowd.kernel_memory()?);
    let mut table = String::from("LUNs   one more   one less");
    let mut there = 0;
    for count in CROWDS {
        let took = crowd.grow(there, count)?;
        say(&format!("{} more LUNs served after {:.1} s", count - there, took.as_secs_f64()));
        there = count;
        let [comes, goes] = crowd.one_comes_and_goes()?;
        table += &format!("\n     {count:<5} {comes:>6} ms {goes:>7} ms");
    }
    say(&table);
    crowd.judge_memory(&Held::by(&site, agent.pid())?, &empty, crowd.kernel_memory()? - kernel)?;
    crowd.watch_idleness(agent.pid())?;
    site.kill_agent(agent)?;
    let agent = crowd.start_again("after a crash")?;
    site.stop_agent(agent)?;
    let agent = crowd.start_again("after a stop")?;
    crowd.all_go()?;
    site.end(agent)
}

/// The LUNs, and the node they are on.
struct Crowd<'a> {
    site: &'a Site,
}

/// A Lun with this number, which is also in its UID: its target's name is known beforehand.
fn lun(number: usize) -> String {
    format!(
        "apiVersion: lunette.io/v1alpha1\nkind: Lun\nmetadata: {{name: many-{number:04}, uid: {}}}\n\
         spec: {{pool: files, size: 16Mi, reclaimPolicy: Delete, initiators: [{{iqn: 'iqn.2026-01.a:b'}}]}}\n---\n",
        uid(number)
    )
}

fn uid(number: usize) -> String {
    format!("3fa85f64-5717-4562-b3fc-{number:012}")
}

impl Crowd<'_> {
    /// How long it takes until so many more are served.
    fn grow(&self, from: usize, to: usize) -> Result<Duration> {
        let started = Instant::now();
        self.site.apply(&format!("many-{to}.yaml"), &(from..to).map(lun).collect::<String>())?;
        self.wait_until_served(to)?;
        Ok(started.elapsed())
    }

    fn wait_until_served(&self, count: usize) -> Result<()> {
        let status = format!("{} status | grep -c ' Ready '", agent_binary(&self.site.bed).display());
        // A table of a thousand is work for an emulated node: it is asked for once in a while only.
        let look =
            format!("for again in 1 2 3; do n=$({status}); [ \"$n\" = {count} ] && break; sleep 1; done; echo $n");
        patiently(PATIENCE, || {
            let ready = self.site.node.run(look.as_str())?.stdout;
            ensure!(ready.trim() == count.to_string(), "{} of {count} LUNs are Ready", ready.trim());
            Ok(())
        })
    }

    /// Milliseconds from a manifest to the LUN that initiators can log in to, and from its end to the end of the volume.
    fn one_comes_and_goes(&self) -> Result<[u64; 2]> {
        let number = CROWDS[2];
        let uid = uid(number);
        let target = format!("/sys/kernel/config/target/iscsi/iqn.2026-01.io.lunette:{uid}");
        let manifest = format!("{}/one", super::site::MANIFESTS);
        self.site.node.write(&format!("{manifest}.new"), &lun(number))?;
        let script = format!(
            "now() {{ date +%s%3N; }}\n\
             for round in $(seq {ROUNDS}); do\n\
             began=$(now); cp {manifest}.new {manifest}.tmp; mv {manifest}.tmp {manifest}.yaml\n\
             until grep -qs 1 {target}/tpgt_1/enable; do sleep 0.01; done\n\
             came=$(now); rm {manifest}.yaml\n\
             while [ -e {target} ] || ls {POOL} | grep -q {uid}; do sleep 0.01; done\n\
             echo $((came - began)) $(($(now) - came))\n\
             done\n\
             rm {manifest}.new"
        );
        let printed = self.site.node.must(script)?;
        let median = |column: usize| -> Result<u64> {
            let times: Result<Vec<u64>, _> =
                printed.lines().filter_map(|line| line.split(' ').nth(column)).map(str::parse).collect();
            let mut times = times.with_context(|| format!("the node printed {printed:?}"))?;
            times.sort_unstable();
            times.get(ROUNDS / 2).copied().with_context(|| format!("the node printed {printed:?}"))
        };
        Ok([median(0)?, median(1)?])
    }

    /// KiB that the kernel has for itself: vmalloc, where the rings are, slabs, per-CPU memory and stacks.
    fn kernel_memory(&self) -> Result<u64> {
        let script =
            "awk '/^(VmallocUsed|Slab|Percpu|KernelStack|PageTables):/ {sum += $2} END {print sum}' /proc/meminfo";
        Ok(self.site.node.must(script)?.trim().parse()?)
    }

    fn judge_memory(&self, held: &Held, empty: &Held, kernel: u64) -> Result<()> {
        let count = CROWDS[2] as u64;
        let own = held.anonymous.saturating_sub(empty.anonymous) / count;
        let kernel = kernel / count;
        say(&format!(
            "an idle LUN: {own} KiB of the agent's own memory, {kernel} KiB of the kernel's, its ring among them"
        ));
        ensure!(own + kernel < MOST_KIB, "an idle LUN takes {own} + {kernel} KiB: {MOST_KIB} are promised");
        Ok(())
    }

    fn watch_idleness(&self, pid: i32) -> Result<()> {
        std::thread::sleep(Duration::from_secs(5));
        let (before, began) = (Held::by(self.site, pid)?, Instant::now());
        std::thread::sleep(IDLE);
        let (after, took) = (Held::by(self.site, pid)?, began.elapsed());
        let percent = (after.processor - before.processor).as_secs_f64() / took.as_secs_f64() * 100.0;
        say(&format!("{} idle LUNs: {percent:.2} % of one emulated processor", CROWDS[2]));
        Ok(())
    }

    fn start_again(&self, when: &str) -> Result<lunette_bed::Process> {
        let said = self.site.agent_log()?.len();
        let started = Instant::now();
        let agent = self.site.start_agent()?;
        let rings =
            || -> Result<usize> { Ok(self.site.agent_log()?.get(said..).map_or(0, |log| log.matches(SERVED).count())) };
        let served = patiently(PATIENCE, || {
            let rings = rings()?;
            ensure!(rings >= CROWDS[2], "{rings} of {} rings are served", CROWDS[2]);
            Ok(started.elapsed())
        })?;
        self.wait_until_served(CROWDS[2])?;
        let (served, ready) = (served.as_secs_f64(), started.elapsed().as_secs_f64());
        say(&format!("the agent started {when}: all rings served after {served:.1} s, all Ready after {ready:.1} s"));
        Ok(agent)
    }

    fn all_go(&self) -> Result<()> {
        let started = Instant::now();
        self.site.node.must(format!("rm {}/many-*", super::site::MANIFESTS))?;
        self.site.wait_unexported(PATIENCE)?;
        self.site.wait_emptied(POOL, PATIENCE)?;
        say(&format!("all gone after {:.1} s", started.elapsed().as_secs_f64()));
        Ok(())
    }
}
