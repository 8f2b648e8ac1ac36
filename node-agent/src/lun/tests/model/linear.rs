//! Whether what initiators saw can have come about: is there an order of the commands, each somewhere between its
//! submission and its answer, in which every answer and every byte is right?
//!
//! The checker keeps every state that the unit may be in: what the blocks hold, and which commands that still run have
//! had their effect, with the answer that they would give. An answer rules out the states that contradict it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Action, BLOCKS};

/// What the blocks hold: one byte, repeated.
pub type Blocks = [u8; BLOCKS];

/// What an initiator learns from an answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answer {
    /// It was done.
    Done,
    /// It was done, and these are the blocks.
    Data(Vec<u8>),
    /// The block of this number differs, counted from the command's first.
    Differs(usize),
}

/// One state that the unit may be in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct World {
    blocks: Blocks,
    /// Commands that had their effect, and have not been answered.
    done: BTreeMap<usize, Answer>,
}

/// All of them.
pub struct Checker {
    running: BTreeMap<usize, Action>,
    worlds: BTreeSet<World>,
}

impl Checker {
    pub fn new() -> Self {
        let first = World { blocks: [0; BLOCKS], done: BTreeMap::new() };
        Self { running: BTreeMap::new(), worlds: [first].into() }
    }

    /// A command was sent.
    pub fn sent(&mut self, id: usize, action: Action) {
        self.running.insert(id, action);
    }

    /// A command was answered.
    pub fn answered(&mut self, id: usize, answer: &Answer) -> Result<(), String> {
        self.settle(id, |done| done == Some(answer)).map_err(|why| format!("no order explains {answer:?} to {why}"))
    }

    /// A command was given back: it may have had its effect, or not.
    pub fn given_back(&mut self, id: usize) {
        self.settle(id, |_| true).expect("nothing contradicts an answer that says nothing");
    }

    fn settle(&mut self, id: usize, agrees: impl Fn(Option<&Answer>) -> bool) -> Result<(), String> {
        let before = std::mem::take(&mut self.worlds);
        let possible = self.possible(before.clone()).into_iter().filter(|world| agrees(world.done.get(&id)));
        self.worlds = possible
            .map(|mut world| {
                world.done.remove(&id);
                world
            })
            .collect();
        let action = self.running.remove(&id);
        if self.worlds.is_empty() {
            return Err(format!("{action:?} beside {:?}, in any of {before:?}", self.running));
        }
        Ok(())
    }

    /// These states, and those that any of the running commands can make of them, in any order.
    fn possible(&self, mut fresh: BTreeSet<World>) -> BTreeSet<World> {
        let mut all = BTreeSet::new();
        while let Some(world) = fresh.pop_first() {
            for (id, action) in self.running.iter().filter(|(id, _)| !world.done.contains_key(id)) {
                let mut next = world.clone();
                let answer = action.apply(&mut next.blocks);
                next.done.insert(*id, answer);
                if !all.contains(&next) {
                    fresh.insert(next);
                }
            }
            all.insert(world);
        }
        all
    }
}

#[test]
fn the_checker_tells_possible_from_impossible() {
    let write = |byte| Action::Write { lba: 0, n: 1, byte };
    let read = Action::Read { lba: 0, n: 1 };
    let mut checker = Checker::new();
    checker.sent(1, write(7));
    checker.sent(2, read);
    checker.answered(2, &Answer::Data(vec![7])).unwrap();
    checker.answered(1, &Answer::Done).unwrap();
    checker.sent(3, read);
    assert!(checker.answered(3, &Answer::Data(vec![0])).is_err(), "it was written, and read before");
    let mut checker = Checker::new();
    checker.sent(1, write(7));
    checker.given_back(1);
    checker.sent(2, read);
    checker.answered(2, &Answer::Data(vec![0])).unwrap();
    checker.sent(3, read);
    assert!(checker.answered(3, &Answer::Data(vec![7])).is_err(), "what was given back is over");
}
