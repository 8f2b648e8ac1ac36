//! Snapshots of one instant of Luns that several nodes serve: what the operator asks of the nodes, and what they answer.
//!
//! Two phases and a confirmation, in the members' status. Each node prepares copies; when all have, each holds its Luns
//! still, takes the copies and **stays still** until it sees that all the others do ([`Asked::Keep`]). The operator asks for
//! that only after every member has said [`Holding::Held`]. So whoever answers [`Holding::Kept`] was still at that moment,
//! and when all have answered so, there was one instant at which every Lun was still and no copy's pause had ended: a write
//! that was begun after another one's acknowledgement is in no copy without it. Nobody is held for longer than its node
//! allows; who gives up answers [`Holding::Missed`], nothing of that attempt is kept, and the next one begins. No step
//! depends on clocks, and an answer counts for its own attempt only, so any party may be killed at any point.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the operator asks of the nodes of a group that several nodes serve.
#[derive(KubeSchema, Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
pub struct Barrier {
    /// Counts from 1.
    pub attempt: u32,
    /// The step of that attempt.
    pub step: Asked,
}

/// The steps, in their order.
#[derive(JsonSchema, Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asked {
    /// Remove what earlier attempts left, and make ready for the instant.
    Prepare,
    /// Hold the Luns still, take the copies, and stay still.
    Hold,
    /// All are still: keep the copies, and go on.
    Keep,
    /// All are kept: they can be used.
    Use,
}

/// How far a node is with a member.
#[derive(KubeSchema, Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
pub struct Hold {
    /// The attempt that it speaks of.
    pub attempt: u32,
    /// What it is.
    pub is: Holding,
}

/// The answers, in their order.
#[derive(JsonSchema, Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holding {
    /// Ready for the instant.
    Prepared,
    /// The Lun is still, and the copy taken.
    Held,
    /// It was still until all were, and the copy is durable.
    Kept,
    /// It could not be held still, or not for so long: nothing is kept.
    Missed,
}

impl Barrier {
    /// The first step.
    pub const FIRST: Self = Self { attempt: 1, step: Asked::Prepare };

    /// What to ask when `asked` is the furthest that was asked of any member, and these are all members' last answers.
    #[must_use]
    pub fn next(asked: Option<Self>, answers: &[Option<Hold>]) -> Self {
        let Some(asked) = asked else { return Self::FIRST };
        let now = |is: Holding| Some(Hold { attempt: asked.attempt, is });
        if asked.step != Asked::Use && answers.contains(&now(Holding::Missed)) {
            return Self { attempt: asked.attempt.saturating_add(1), step: Asked::Prepare };
        }
        let (awaited, then) = match asked.step {
            Asked::Prepare => (Holding::Prepared, Asked::Hold),
            Asked::Hold => (Holding::Held, Asked::Keep),
            Asked::Keep => (Holding::Kept, Asked::Use),
            Asked::Use => return asked,
        };
        let all = answers.iter().all(|answer| *answer == now(awaited));
        if all { Self { step: then, ..asked } } else { asked }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(attempt: u32, is: Holding) -> Option<Hold> {
        Some(Hold { attempt, is })
    }

    #[test]
    fn a_step_is_asked_for_when_all_have_answered_the_one_before() {
        let all = [(Asked::Prepare, Holding::Prepared), (Asked::Hold, Holding::Held), (Asked::Keep, Holding::Kept)];
        let mut asked = Barrier::next(None, &[None, None]);
        for (step, answer) in all {
            assert_eq!(asked, Barrier { attempt: 1, step });
            for others in [None, said(1, Holding::Prepared).filter(|a| a.is != answer), said(7, answer)] {
                assert_eq!(Barrier::next(Some(asked), &[said(1, answer), others]), asked);
            }
            asked = Barrier::next(Some(asked), &[said(1, answer), said(1, answer)]);
        }
        assert_eq!(asked, Barrier { attempt: 1, step: Asked::Use });
        assert_eq!(Barrier::next(Some(asked), &[said(1, Holding::Missed), None]), asked, "it is over");
    }

    #[test]
    fn one_that_missed_begins_a_new_attempt_and_old_answers_count_no_more() {
        for step in [Asked::Prepare, Asked::Hold, Asked::Keep] {
            let asked = Barrier { attempt: 3, step };
            let next = Barrier::next(Some(asked), &[said(3, Holding::Missed), said(3, Holding::Kept)]);
            assert_eq!(next, Barrier { attempt: 4, step: Asked::Prepare });
            assert_eq!(Barrier::next(Some(next), &[said(3, Holding::Missed), said(3, Holding::Kept)]), next);
        }
    }
}
