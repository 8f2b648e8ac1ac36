//! Which interrupted commands may be carried out once more, and which the initiator had better send again.
//!
//! A command that was interrupted may have had its effect already. Doing it again changes nothing if it leaves the
//! same bytes however often it is done, and nothing else wrote there in between. So one that writes is done again
//! only if none that was answered since it was handed out, and none that was interrupted with it, touches what
//! it touches. What commands touch is for the caller to say: this room does not know what a CDB means.

use std::ops::Range;

use lunette_iobuf::DataBuf;
use smallvec::SmallVec;

use super::{History, Interrupted, Request};
use crate::{Command, Ticket};

/// A command that was handed out again this often and never answered may be what kills the agent: then its
/// initiator decides, which gives up at some time.
const MOST_RESUMES: u8 = 3;

/// What carrying a command out does to the medium.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// Whether twice is the same as once, if nothing else touches the same meanwhile.
    pub repeatable: bool,
    /// What it may change.
    pub touches: Touches,
}

/// What a command may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Touches {
    /// Nothing.
    Nothing,
    /// These, in the caller's unit, the same for all commands.
    Ranges(SmallVec<[Range<u64>; 1]>),
    /// Anything, or nobody knows.
    Everything,
}

impl Effect {
    /// Of a command of which nothing is known.
    pub const UNKNOWN: Self = Self { repeatable: false, touches: Touches::Everything };
    /// Of a command that only tells something.
    pub const NONE: Self = Self { repeatable: true, touches: Touches::Nothing };
}

impl Touches {
    fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Nothing, _) | (_, Self::Nothing) => false,
            (Self::Everything, _) | (_, Self::Everything) => true,
            (Self::Ranges(ours), Self::Ranges(theirs)) => ours.iter().any(|a| theirs.iter().any(|b| overlap(a, b))),
        }
    }
}

fn overlap(a: &Range<u64>, b: &Range<u64>) -> bool {
    a.start < b.end && b.start < a.end && !a.is_empty() && !b.is_empty()
}

/// Interrupted commands, told apart.
#[derive(Debug, Default)]
pub struct Sorted {
    /// To be carried out again, before anything newer is.
    pub again: Vec<Command>,
    /// To be answered BUSY.
    pub busy: Vec<Ticket>,
}

/// Tells them apart. `effect` gets a CDB, and the command's data where they are still there.
pub fn sort(
    interrupted: Vec<Interrupted>,
    history: &History,
    effect: impl Fn(&[u8], Option<&DataBuf>) -> Effect,
) -> Sorted {
    let known = |request: &Request| effect(&request.cdb, Some(&request.data));
    let effects: Vec<Effect> =
        interrupted.iter().map(|command| command.request.as_ref().map_or(Effect::UNKNOWN, known)).collect();
    let safe: Vec<bool> = (0..interrupted.len())
        .map(|i| {
            let alone = |(j, other): (usize, &Effect)| i == j || !effects[i].touches.meets(&other.touches);
            effects[i].repeatable
                && interrupted[i].resumes < MOST_RESUMES
                && effects.iter().enumerate().all(alone)
                && is_untouched_since(&interrupted[i], &effects[i].touches, history, &effect)
        })
        .collect();
    let mut sorted = Sorted::default();
    for (command, safe) in interrupted.into_iter().zip(safe) {
        let Interrupted { ticket, request, .. } = command;
        match request.filter(|_| safe) {
            Some(Request { cdb, data }) => sorted.again.push(Command { ticket, cdb, data, bidi: None }),
            None => sorted.busy.push(ticket),
        }
    }
    sorted
}

fn is_untouched_since(
    command: &Interrupted,
    touches: &Touches,
    history: &History,
    effect: &impl Fn(&[u8], Option<&DataBuf>) -> Effect,
) -> bool {
    if *touches == Touches::Nothing {
        return true;
    }
    let meets = |cdb: Option<&[u8]>| cdb.map_or(Effect::UNKNOWN, |cdb| effect(cdb, None)).touches.meets(touches);
    history.since(command).is_some_and(|mut answered| !answered.any(meets))
}
