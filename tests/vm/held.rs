//! What the agent's process holds of its machine.

use std::time::Duration;

use anyhow::Context as _;
use lunette_bed::Result;

use super::site::Site;

/// What the agent's process holds.
pub struct Held {
    pub threads: u64,
    pub descriptors: u64,
    pub processor: Duration,
    /// Kilobytes of its own, by kind.
    pub anonymous: u64,
    pub resident: u64,
    pub proportional: u64,
}

impl Held {
    pub fn by(site: &Site, pid: i32) -> Result<Held> {
        let script = format!(
            "cd /proc/{pid}; ls task | wc -l; ls fd | wc -l; sed 's/.*) //' stat | cut -d' ' -f12,13 | tr ' ' +; \
             awk '/^RssAnon/ {{print $2}}' status; awk '/^VmRSS/ {{print $2}}' status; awk '/^Pss:/ {{print $2}}' smaps_rollup"
        );
        let text = site.node.must(script)?;
        let sum = |line: &str| line.split('+').map(str::parse::<u64>).sum::<Result<u64, _>>();
        let figures: Vec<u64> =
            text.lines().map(sum).collect::<Result<_, _>>().with_context(|| format!("reading {text:?}"))?;
        let [threads, descriptors, ticks, anonymous, resident, proportional] = figures[..] else {
            anyhow::bail!("procfs says {text:?}")
        };
        // USER_HZ is 100.
        Ok(Held {
            threads,
            descriptors,
            processor: Duration::from_millis(ticks * 10),
            anonymous,
            resident,
            proportional,
        })
    }
}
