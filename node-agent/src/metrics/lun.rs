//! What is counted of each LUN.

use std::fmt::Error;

use lunette_api::conditions;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::write::{Labels, counters, gauges, histograms, seconds};
use crate::lun::meter::{Buckets, ERRORS, KINDS, Snapshot};
use crate::status::{Board, Entry};

/// The words of `status.state`.
const STATES: [&str; 6] = ["Pending", "Placed", "Exporting", "Ready", "Degraded", "Deleting"];

/// How many LUNs are in which state.
pub fn states(board: &Board) -> Vec<(&'static str, u64)> {
    let entries = board.entries();
    let among = |state: &str| entries.iter().filter(|entry| entry.status.state.as_deref() == Some(state)).count();
    STATES.into_iter().map(|state| (state, among(state) as u64)).collect()
}

/// All LUNs at one moment.
#[derive(Debug)]
pub struct Figures(Vec<Lun>);

#[derive(Debug)]
struct Lun {
    namespace: String,
    name: String,
    ready: bool,
    sessions: u64,
    capacity: Option<u64>,
    allocated: Option<u64>,
    counted: Snapshot,
}

impl Figures {
    /// Of the LUNs on the board.
    pub fn of(board: &Board) -> Self {
        Self(board.measured().into_iter().map(|(entry, ledger)| Lun::new(&entry, ledger.read())).collect())
    }

    fn each(&self, value: fn(&Lun) -> u64) -> impl Iterator<Item = (Labels<'_, 2>, u64)> {
        self.0.iter().map(move |lun| (lun.labels(), value(lun)))
    }

    fn known(&self, value: fn(&Lun) -> Option<u64>) -> impl Iterator<Item = (Labels<'_, 2>, u64)> {
        self.0.iter().filter_map(move |lun| Some((lun.labels(), value(lun)?)))
    }

    fn operations(&self) -> impl Iterator<Item = (Labels<'_, 3>, u64)> {
        let by_kind = |lun| KINDS.iter().map(move |(kind, name)| (lun, *kind as usize, *name));
        let all = self.0.iter().flat_map(by_kind);
        all.map(|(lun, kind, name): (&Lun, _, _)| (lun.labels_and("op", name), lun.counted.operations[kind]))
    }

    fn errors(&self) -> impl Iterator<Item = (Labels<'_, 3>, u64)> {
        let all = self.0.iter().flat_map(|lun| ERRORS.iter().zip(lun.counted.errors).map(move |error| (lun, error)));
        all.map(|(lun, (name, count))| (lun.labels_and("error", name), count))
    }

    /// Of the kinds that there were.
    fn backend(&self) -> impl Iterator<Item = (Labels<'_, 3>, &Buckets)> {
        let by_kind = |lun| KINDS.iter().map(move |(kind, name)| (lun, *kind as usize, *name));
        let all = self.0.iter().flat_map(by_kind);
        let all = all.map(|(lun, kind, name): (&Lun, _, _)| (lun.labels_and("op", name), &lun.counted.backend[kind]));
        all.filter(|(_, times)| times.count() > 0)
    }
}

impl Lun {
    fn new(entry: &Entry, counted: Snapshot) -> Self {
        let ready = conditions::find(&entry.status.conditions, conditions::READY);
        Self {
            namespace: entry.lun.metadata.namespace.clone().unwrap_or_default(),
            name: entry.lun.metadata.name.clone().unwrap_or_default(),
            ready: ready.is_some_and(|ready| ready.status == "True"),
            sessions: u64::from(entry.status.session_count.unwrap_or(0)),
            capacity: entry.status.capacity,
            allocated: entry.status.allocated,
            counted,
        }
    }

    fn labels(&self) -> Labels<'_, 2> {
        [("namespace", &self.namespace), ("lun", &self.name)]
    }

    fn labels_and<'a>(&'a self, label: &'a str, value: &'a str) -> Labels<'a, 3> {
        let [namespace, lun] = self.labels();
        [namespace, lun, (label, value)]
    }
}

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), Error> {
        self.encode_state(&mut encoder)?;
        self.encode_counts(&mut encoder)?;
        self.encode_times(&mut encoder)
    }
}

impl Figures {
    fn encode_state(&self, to: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        gauges(to, ("lun_ready", "1 while the LUN's I/O is served"), self.each(|lun| u64::from(lun.ready)))?;
        gauges(to, ("lun_sessions", "Initiators that are logged in"), self.each(|lun| lun.sessions))?;
        let engine = |lun: &'_ Lun| lun.counted.engine.unwrap_or("inline");
        let engines = self.0.iter().map(|lun| (lun.labels_and("engine", engine(lun)), 1));
        gauges(to, ("lun_io_engine", "1 for what carries out I/O that cannot be done at once"), engines)?;
        gauges(to, ("lun_capacity_bytes", "Bytes that the device shows"), self.known(|lun| lun.capacity))?;
        gauges(to, ("lun_allocated_bytes", "Bytes in use in the pool"), self.known(|lun| lun.allocated))?;
        gauges(
            to,
            ("lun_commands_in_flight", "Commands taken from the ring and not yet answered"),
            self.each(|lun| lun.counted.in_flight),
        )
    }

    fn encode_counts(&self, to: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        counters(to, ("lun_operations", "Commands answered, by what they do"), self.operations())?;
        counters(
            to,
            ("lun_read_bytes", "Bytes that reads answered with GOOD gave to initiators"),
            self.each(|lun| lun.counted.read_bytes),
        )?;
        counters(
            to,
            ("lun_written_bytes", "Bytes that writes answered with GOOD took from initiators"),
            self.each(|lun| lun.counted.written_bytes),
        )?;
        counters(
            to,
            ("lun_errors", "Commands answered with anything but GOOD, by sense key or status"),
            self.errors(),
        )?;
        counters(to, ("lun_kicks", "Batches of answers handed to the kernel"), self.each(|lun| lun.counted.kicks))?;
        counters(
            to,
            ("lun_task_management", "Task management functions that the kernel told of"),
            self.each(|lun| lun.counted.task_management),
        )?;
        counters(
            to,
            ("lun_thread_restarts", "Threads of the LUN that were started after its first"),
            self.each(|lun| lun.counted.restarts),
        )
    }

    fn encode_times(&self, to: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        seconds(
            to,
            ("lun_held_seconds", "Seconds for which commands stayed in the ring because spec.qos was reached"),
            self.each(|lun| lun.counted.held),
        )?;
        histograms(
            to,
            ("lun_backend_seconds", "From taking a command from the ring to its answer (drawn by lot, and weighted)"),
            self.backend(),
        )?;
        histograms(
            to,
            ("lun_completion_seconds", "From a command's answer to the end of the kick that handed it to the kernel"),
            self.0.iter().map(|lun| (lun.labels(), &lun.counted.completion)),
        )?;
        histograms(
            to,
            ("lun_pause_seconds", "For how long commands stayed in the ring while the LUN was copied"),
            self.0.iter().map(|lun| (lun.labels(), &lun.counted.pauses)),
        )
    }
}
