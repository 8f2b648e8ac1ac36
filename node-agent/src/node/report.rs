//! What a worker says of its LUN: conditions and figures, to the board and to the source.
//!
//! Only changes are reported, so a LUN that is well costs no writes.

use std::sync::Arc;

use lunette_api::conditions::{self, reasons};
use lunette_api::{Lun, LunStatus, Session, Target};
use lunette_lio::Uid;

use super::Context;
use crate::status::Entry;
use crate::trouble::Trouble;

/// Space in use is reported in steps of this many bytes, so that small writes change no object.
const ALLOCATED_STEP: u64 = 1 << 20;

/// How far a LUN has come towards being served.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Initiators can log in.
    pub exported: bool,
    /// Commands are answered.
    pub serving: bool,
    /// Bytes that the device shows.
    pub capacity: Option<u64>,
    /// Bytes in use in the pool.
    pub allocated: Option<u64>,
    /// Who is logged in.
    pub sessions: Vec<Session>,
}

/// Says what became of one LUN.
pub struct Reporter {
    context: Arc<Context>,
    uid: Uid,
    /// Our part of the status as last said.
    status: LunStatus,
    /// Whether the source has it.
    told: bool,
}

impl Reporter {
    /// Nothing said yet.
    pub fn new(context: Arc<Context>, uid: Uid) -> Self {
        Self { context, uid, status: LunStatus::default(), told: false }
    }

    /// Whether the source has what was said last.
    pub fn is_told(&self) -> bool {
        self.told
    }

    /// How a LUN that is wanted fares.
    pub async fn serving(&mut self, lun: &Lun, progress: &Progress, trouble: Option<&Trouble>) {
        let mut status = self.begin(lun);
        for (type_, verdict) in
            [(conditions::EXPORTED, exported(progress, trouble)), (conditions::READY, ready(progress, trouble))]
        {
            let Verdict { is, reason, message } = verdict;
            conditions::set(&mut status.conditions, type_, is, reason, message, lun.metadata.generation);
        }
        if trouble.is_none() {
            status.capacity = progress.capacity;
            status.allocated = progress.allocated.map(|bytes| bytes.next_multiple_of(ALLOCATED_STEP));
            status.sessions = progress.sessions.clone();
            status.session_count = Some(u32::try_from(progress.sessions.len()).unwrap_or(u32::MAX));
        }
        let portals =
            if progress.exported { self.context.portals.iter().map(ToString::to_string).collect() } else { Vec::new() };
        status.target = Some(Target { portals, ..Target::default() });
        self.say(lun, status).await;
    }

    /// That a LUN is being taken off the fabric, or why it is not off yet.
    pub async fn removing(&mut self, lun: &Lun, trouble: Option<&Trouble>) {
        let (reason, message) = match trouble {
            Some(trouble) => (trouble.reason, trouble.message.as_str()),
            None if conditions::find(&self.status.conditions, conditions::EXPORTED)
                .is_some_and(|c| c.reason == reasons::UNEXPORTED) =>
            {
                return;
            }
            None => (reasons::UNEXPORTING, "the target is being removed"),
        };
        self.off(lun, reason, message).await;
    }

    /// That nothing of a LUN is left on this node, but its data unless they were to go.
    pub async fn removed(&mut self, lun: &Lun, reclaimed: bool) {
        let message = if reclaimed {
            "the target and its data are gone"
        } else {
            "the target is gone; its data stay in the pool"
        };
        self.off(lun, reasons::UNEXPORTED, message).await;
    }

    /// That a LUN is gone for good and nobody asks for its status any more.
    pub async fn gone(&self, lun: Option<&Lun>, reclaimed: bool) {
        self.context.board.remove(self.uid.as_str());
        self.context.pausers.remove(self.uid.as_str());
        if let Some(lun) = lun {
            self.context.source.gone(lun, reclaimed).await;
        }
    }

    async fn off(&mut self, lun: &Lun, reason: &str, message: &str) {
        let mut status = LunStatus { conditions: self.begin(lun).conditions, ..LunStatus::default() };
        status.session_count = Some(0);
        for type_ in [conditions::EXPORTED, conditions::READY] {
            conditions::set(&mut status.conditions, type_, false, reason, message, lun.metadata.generation);
        }
        self.say(lun, status).await;
    }

    /// Our part as last said; at first, what an earlier agent said, so that transition times stay.
    fn begin(&self, lun: &Lun) -> LunStatus {
        let mut status = self.status.clone();
        if status.conditions.is_empty() {
            let ours = |type_: &str| [conditions::EXPORTED, conditions::READY].contains(&type_);
            let before = lun.status.iter().flat_map(|status| &status.conditions);
            status.conditions = before.filter(|c| ours(&c.type_)).cloned().collect();
        }
        status
    }

    async fn say(&mut self, lun: &Lun, status: LunStatus) {
        let changed = status != self.status;
        // Someone may have edited our part of the status by hand.
        if changed || !self.told || !self.context.source.shows(lun, &self.status) {
            self.told = self.context.source.report(lun, &status).await;
            self.status = status;
        }
        self.show(lun);
    }

    /// Puts the LUN on the board as far as anything is known of it; the source is told nothing.
    pub fn show(&self, lun: &Lun) {
        let whole = self.context.source.whole_status(&self.context.node, lun, &self.status);
        let entry = Entry { lun: Arc::new(lun.clone()), status: whole };
        self.context.board.put(self.uid.as_str(), entry);
    }
}

/// What a condition says.
#[derive(Debug, PartialEq, Eq)]
struct Verdict {
    is: bool,
    reason: &'static str,
    message: String,
}

impl Verdict {
    fn new(is: bool, reason: &'static str, message: impl Into<String>) -> Self {
        Self { is, reason, message: message.into() }
    }
}

fn exported(progress: &Progress, trouble: Option<&Trouble>) -> Verdict {
    match trouble {
        _ if progress.exported => Verdict::new(true, reasons::EXPORTED, "initiators that are listed can log in"),
        Some(trouble) => Verdict::new(false, trouble.reason, trouble.message.as_str()),
        None => Verdict::new(false, reasons::EXPORTING, "the target is being built"),
    }
}

fn ready(progress: &Progress, trouble: Option<&Trouble>) -> Verdict {
    match trouble {
        Some(trouble) => Verdict::new(false, trouble.reason, trouble.message.as_str()),
        None if progress.exported && progress.serving => Verdict::new(true, reasons::SERVING, "I/O is served"),
        None => Verdict::new(false, reasons::EXPORTING, "the target is being built"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_follow_from_progress_and_trouble() {
        let trouble = Trouble::new(reasons::POOL_UNAVAILABLE, "the disk is away");
        for (stands, serving, in_trouble, exported_as, ready_as) in [
            (false, false, false, (false, reasons::EXPORTING), (false, reasons::EXPORTING)),
            (true, false, false, (true, reasons::EXPORTED), (false, reasons::EXPORTING)),
            (true, true, false, (true, reasons::EXPORTED), (true, reasons::SERVING)),
            (false, true, false, (false, reasons::EXPORTING), (false, reasons::EXPORTING)),
            (false, false, true, (false, trouble.reason), (false, trouble.reason)),
            (true, false, true, (true, reasons::EXPORTED), (false, trouble.reason)),
            (true, true, true, (true, reasons::EXPORTED), (false, trouble.reason)),
        ] {
            let progress = Progress { exported: stands, serving, ..Progress::default() };
            let trouble = in_trouble.then_some(&trouble);
            let (exported, ready) = (exported(&progress, trouble), ready(&progress, trouble));
            assert_eq!(
                ((exported.is, exported.reason), (ready.is, ready.reason)),
                (exported_as, ready_as),
                "{progress:?}"
            );
            let told = in_trouble && ready.message == "the disk is away";
            assert_eq!(told, in_trouble);
        }
    }
}
