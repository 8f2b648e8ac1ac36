//! What the agent says of its LUNs at one moment: the answer to the request `top`.
//!
//! Counts since the agent was started; whoever asks twice has rates. Fields may be added: an older `top` skips
//! what it does not know, a newer one takes what is missing for 0.

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use super::super::{Board, Entry};
use crate::lun::meter::{Buckets, KINDS, Kind, Snapshot};

/// All LUNs at one moment.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Sample {
    /// When, in nanoseconds of CLOCK_MONOTONIC.
    pub at: u64,
    /// By namespace and name.
    pub luns: Vec<LunSample>,
}

/// One LUN at that moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LunSample {
    pub uid: String,
    pub namespace: String,
    pub name: String,
    pub state: String,
    pub sessions: u32,
    pub in_flight: u64,
    pub reads: u64,
    pub writes: u64,
    /// Commands that are neither.
    pub others: u64,
    /// Commands answered with anything but GOOD.
    pub errors: u64,
    pub read_bytes: u64,
    pub written_bytes: u64,
    /// Nanoseconds for which the LUN's limits held commands up.
    pub held: u64,
    pub restarts: u64,
    /// How long commands that read, write or flush took from the ring to their answer: pairs of an upper bound in
    /// nanoseconds, and how many commands took no longer but longer than the bound before.
    pub latency: Vec<(u64, u64)>,
    /// How long answers took until the kernel had them, in such pairs.
    pub completion: Vec<(u64, u64)>,
}

impl Sample {
    /// Of the LUNs on the board, now.
    pub fn of(board: &Board) -> Self {
        let luns = board.measured().into_iter().map(|(entry, ledger)| LunSample::of(entry, &ledger.read())).collect();
        Self { at: now(), luns }
    }
}

fn now() -> u64 {
    // The clock is always there, and never before its start.
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(std::time::Duration::from).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

impl LunSample {
    fn of(entry: Entry, counted: &Snapshot) -> Self {
        let operations = |kind: Kind| counted.operations[kind as usize];
        let (reads, writes) = (operations(Kind::Read), operations(Kind::Write));
        let meta = &entry.lun.metadata;
        Self {
            uid: meta.uid.clone().unwrap_or_default(),
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
            sessions: entry.status.session_count.unwrap_or(0),
            state: entry.status.state.unwrap_or_default(),
            in_flight: counted.in_flight,
            reads,
            writes,
            others: counted.operations.iter().sum::<u64>() - reads - writes,
            errors: counted.errors.iter().sum(),
            read_bytes: counted.read_bytes,
            written_bytes: counted.written_bytes,
            held: counted.held,
            restarts: counted.restarts,
            latency: latency(counted).fine(),
            completion: counted.completion.fine(),
        }
    }
}

/// Of commands that wait for storage: what only tells something is quick, and nobody's business here.
fn latency(counted: &Snapshot) -> Buckets {
    let mut all = Buckets::default();
    let with_storage = KINDS.iter().filter(|(kind, _)| *kind != Kind::Other);
    with_storage.for_each(|(kind, _)| all.add(&counted.backend[*kind as usize]));
    all
}
