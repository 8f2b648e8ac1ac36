//! Nodes that are killed, late and forgetful, an operator that sees old states, and a writer whose writes follow each
//! other across Luns: what can be used in the end is of one instant.

use lunette_api::{Asked, Barrier, Hold, Holding};
use proptest::prelude::*;

use super::{At, Next, delay, next};
use std::time::Duration;

const NODES: usize = 3;

/// One node with one Lun.
#[derive(Clone, Default)]
struct Node {
    attempt: u32,
    at: Option<At>,
    answer: Option<Hold>,
    told: bool,
    /// The last write that its Lun has acknowledged.
    last: usize,
    /// That of the copy that is taken, and of the one that is kept.
    taken: Option<usize>,
    kept: Option<usize>,
}

impl Node {
    fn is_still(&self) -> bool {
        self.at == Some(At::Held)
    }

    /// Killed, and started again.
    fn forget(&mut self) {
        *self = Self { last: self.last, kept: self.kept, ..Self::default() };
    }

    fn answer(&mut self, is: Holding) {
        (self.answer, self.told) = (Some(Hold { attempt: self.attempt, is }), false);
    }

    /// One step of what [`super::Set::meet`] does.
    fn act(&mut self, asked: Barrier, reported: Option<Hold>) {
        if self.attempt != asked.attempt {
            *self = Self { attempt: asked.attempt, last: self.last, kept: self.kept, ..Self::default() };
        }
        let of_now = |hold: &Hold| hold.attempt == asked.attempt;
        let answered = self.answer.or(reported).filter(of_now).map(|hold| hold.is);
        match next(asked.step, self.at.unwrap_or(At::Nothing), answered, self.kept.is_some()) {
            Next::Wait => {}
            Next::Prepare => {
                (self.kept, self.taken, self.at) = (None, None, Some(At::Prepared));
                self.answer(Holding::Prepared);
            }
            Next::Hold => {
                (self.taken, self.at) = (Some(self.last), Some(At::Held));
                self.answer(Holding::Held);
            }
            Next::Keep => {
                (self.kept, self.at) = (self.taken.take(), None);
                self.answer(Holding::Kept);
            }
            Next::IsKept => self.answer(Holding::Kept),
            Next::Miss => {
                (self.taken, self.at) = (None, None);
                self.answer(Holding::Missed);
            }
        }
    }
}

/// What the API server has of each member.
#[derive(Clone, Default, PartialEq)]
struct Shown {
    asked: Option<Barrier>,
    hold: Option<Hold>,
}

#[derive(Clone)]
struct World {
    nodes: Vec<Node>,
    shown: Vec<Shown>,
    /// As the operator's watch shows it, late.
    seen: Vec<Shown>,
    /// The node whose Lun each write went to.
    writes: Vec<usize>,
}

impl World {
    fn new() -> Self {
        let shown = vec![Shown::default(); NODES];
        Self { nodes: vec![Node::default(); NODES], seen: shown.clone(), shown, writes: Vec::new() }
    }

    /// What happens next.
    fn step(&mut self, what: u8, node: usize) {
        match what {
            0..=3 => self.write(node),
            4 => self.nodes[node].forget(),
            5 if self.nodes[node].is_still() => self.nodes[node].at = Some(At::Over),
            6..=9 => self.act(node),
            10..=13 => self.tell(node),
            14 | 15 => self.seen = self.shown.clone(),
            16..=19 => self.ask(node),
            _ => {}
        }
    }

    /// The writer waits for each write before it begins the next.
    fn write(&mut self, node: usize) {
        if !self.nodes[node].is_still() {
            self.writes.push(node);
            self.nodes[node].last = self.writes.len();
        }
    }

    fn act(&mut self, node: usize) {
        let Shown { asked, hold } = self.shown[node];
        if let Some(asked) = asked {
            self.nodes[node].act(asked, hold);
        }
    }

    fn tell(&mut self, node: usize) {
        let (node, shown) = (&mut self.nodes[node], &mut self.shown[node]);
        if node.answer.is_some() && !node.told {
            (shown.hold, node.told) = (node.answer, true);
        }
    }

    /// The API server takes no change of an object that is another by now.
    fn ask(&mut self, member: usize) {
        if self.seen[member] == self.shown[member] {
            let answers: Vec<_> = self.seen.iter().map(|shown| shown.hold).collect();
            let asked = self.seen.iter().filter_map(|shown| shown.asked).max();
            self.shown[member].asked = Some(Barrier::next(asked, &answers));
        }
    }

    fn is_over(&self) -> bool {
        self.shown.iter().any(|shown| shown.asked.is_some_and(|asked| asked.step == Asked::Use))
    }

    /// No copy has a write without all that were acknowledged before it.
    fn is_of_one_instant(&self) -> bool {
        let Some(kept) = self.nodes.iter().map(|node| node.kept).collect::<Option<Vec<usize>>>() else { return false };
        let newest = kept.iter().copied().max().unwrap_or(0);
        let last = |node: usize| self.writes[..newest].iter().rposition(|to| *to == node).map_or(0, |at| at + 1);
        kept.iter().enumerate().all(|(node, copy)| *copy == last(node))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_happens_what_can_be_used_is_of_one_instant(
        steps in proptest::collection::vec((0u8..20, 0..NODES), 0..400)
    ) {
        let mut world = World::new();
        for (what, node) in steps {
            world.step(what, node);
            prop_assert!(!world.is_over() || world.is_of_one_instant());
        }
        // Left alone it comes to an end.
        for round in 0..60 {
            for what in [6, 10, 14, 16] {
                (0..NODES).for_each(|node| world.step(what, node));
            }
            world.step(0, round % NODES);
        }
        prop_assert!(world.is_over() && world.is_of_one_instant());
    }
}

#[test]
fn who_has_forgotten_has_missed_the_attempt_unless_its_copies_are_kept() {
    for answered in [None, Some(Holding::Prepared), Some(Holding::Held)] {
        assert_eq!(next(Asked::Hold, At::Nothing, answered, false), Next::Miss);
        assert_eq!(next(Asked::Keep, At::Nothing, answered, false), Next::Miss);
    }
    assert_eq!(next(Asked::Keep, At::Nothing, Some(Holding::Held), true), Next::IsKept);
    assert_eq!(next(Asked::Keep, At::Nothing, Some(Holding::Prepared), true), Next::Miss, "of an earlier attempt");
    assert_eq!(next(Asked::Keep, At::Over, Some(Holding::Held), false), Next::Miss);
    assert_eq!(next(Asked::Hold, At::Nothing, Some(Holding::Missed), false), Next::Wait, "it is said");
}

#[test]
fn attempts_come_less_and_less_often() {
    assert_eq!(delay(1), Duration::ZERO);
    assert_eq!(delay(2), Duration::from_millis(500));
    assert_eq!(delay(4), Duration::from_secs(2));
    assert_eq!(delay(u32::MAX), Duration::from_secs(30));
}
