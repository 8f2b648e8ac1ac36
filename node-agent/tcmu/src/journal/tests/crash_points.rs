//! Random histories with agents that are killed before any of their stores, again and again.
//!
//! Storage is an array of cells. The test knows when each command had its effect, which no agent does, and
//! so sees it when one is repeated over another's.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use proptest::prelude::*;

use super::*;
use crate::fuse;

const CELLS: u8 = 12;

#[derive(Clone, Copy, Debug)]
enum Step {
    Submit {
        operation: u8,
        cell: u8,
        count: u8,
    },
    Fetch,
    Execute(usize),
    Answer(usize),
    Publish,
    Kick,
    /// From now on so many stores, then death.
    Fuse(u32),
}

fn step() -> impl Strategy<Value = Step> {
    let operation = prop_oneof![4 => Just(WRITE), 2 => Just(READ), 1 => Just(ADD)];
    prop_oneof![
        6 => (operation, 0..CELLS, 1u8..4).prop_map(|(operation, cell, count)| Step::Submit {
            operation,
            cell,
            count: count.min(CELLS - cell)
        }),
        6 => Just(Step::Fetch),
        4 => (0usize..64).prop_map(Step::Execute),
        5 => (0usize..64).prop_map(Step::Answer),
        3 => Just(Step::Publish),
        2 => Just(Step::Kick),
        1 => (0u32..60).prop_map(Step::Fuse),
    ]
}

/// What a process has in its own memory, and loses.
struct Agent {
    ring: Ring,
    running: Vec<(Tag, Command, bool)>,
}

struct World {
    bench: Bench,
    agent: Option<Agent>,
    sent: BTreeMap<Tag, Sent>,
    cells: Vec<u8>,
    /// Effects on the medium in the order in which they happened.
    effects: Vec<Tag>,
    answered: BTreeMap<Tag, u8>,
    value: u8,
    deaths: u32,
}

impl World {
    fn new() -> Self {
        let mut bench = Bench::of_ring_size(1200);
        let (_device, ring) = bench.first();
        Self {
            bench,
            agent: Some(Agent { ring, running: Vec::new() }),
            sent: BTreeMap::new(),
            cells: vec![0; CELLS.into()],
            effects: Vec::new(),
            answered: BTreeMap::new(),
            value: 0,
            deaths: 0,
        }
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Submit { operation, cell, count } => self.submit(operation, cell, count),
            Step::Kick => self.harvest(),
            Step::Fuse(stores) => fuse::set(Some(stores)),
            step => self.mortal(|world, agent| world.act(agent, step)),
        }
    }

    /// Does something that may end in the agent's death, and then starts another.
    fn mortal(&mut self, act: impl FnOnce(&mut Self, &mut Agent)) {
        let Some(mut agent) = self.agent.take() else { return };
        match catch_unwind(AssertUnwindSafe(|| act(self, &mut agent))) {
            Ok(()) => self.agent = Some(agent),
            Err(panic) if panic.downcast_ref() == Some(&fuse::KILLED) => {
                drop(agent);
                self.restart();
            }
            Err(bug) => resume_unwind(bug),
        }
    }

    /// The next agent dies young, at first, and the one after it too.
    fn restart(&mut self) {
        self.deaths += 1;
        fuse::set(match self.deaths % 4 {
            1 => Some(2),
            2 => Some(11),
            _ => None,
        });
        let begun = catch_unwind(AssertUnwindSafe(|| self.bench.sorted()));
        match begun {
            Ok((resumed, sorted)) => {
                self.agent = Some(Agent { ring: resumed.ring, running: Vec::new() });
                self.mortal(|world, agent| world.go_on(agent, sorted));
            }
            Err(panic) if panic.downcast_ref() == Some(&fuse::KILLED) => self.restart(),
            Err(bug) => resume_unwind(bug),
        }
    }

    fn go_on(&mut self, agent: &mut Agent, sorted: Sorted) {
        for ticket in sorted.busy {
            agent.ring.complete(ticket, &BUSY);
        }
        for command in sorted.again {
            let tag = self.tag_of(&command);
            self.must_be_harmless(tag);
            agent.running.push((tag, command, false));
            let last = agent.running.len() - 1;
            self.execute(agent, last);
        }
        while let Some((_, command, _)) = agent.running.pop() {
            let Command { ticket, data, .. } = command;
            drop(data);
            agent.ring.complete(ticket, &Reply::GOOD);
        }
        let _ = agent.ring.publish();
    }

    /// A command that had its effect already must not have it again over somebody else's.
    fn must_be_harmless(&self, tag: Tag) {
        let cells = |tag: &Tag| self.range(*tag);
        let Some(at) = self.effects.iter().rposition(|effect| *effect == tag) else { return };
        let after = self.effects[at + 1..].iter().filter(|other| **other != tag);
        for other in after {
            let (ours, theirs) = (cells(&tag), cells(other));
            assert!(ours.end <= theirs.start || theirs.end <= ours.start, "{tag:?} would undo {other:?}");
        }
        assert_ne!(self.sent[&tag].cdb[0], ADD, "twice is not once");
    }

    fn range(&self, tag: Tag) -> std::ops::Range<usize> {
        let cdb = &self.sent[&tag].cdb;
        usize::from(cdb[2])..usize::from(cdb[2]) + usize::from(cdb[3])
    }

    fn submit(&mut self, operation: u8, cell: u8, count: u8) {
        self.value = self.value.wrapping_add(1);
        let cdb = cdb(operation, cell, count);
        let request = match operation {
            WRITE => Sent::writing(&cdb, &vec![self.value; count.into()]),
            READ => Sent::reading(&cdb, count.into()),
            _ => Sent::bare(&cdb),
        };
        let tag = self.bench.kernel.submit(request.clone());
        self.sent.insert(tag, request);
    }

    fn act(&mut self, agent: &mut Agent, step: Step) {
        match step {
            Step::Fetch => self.fetch(agent),
            Step::Execute(which) if !agent.running.is_empty() => self.execute(agent, which % agent.running.len()),
            Step::Answer(which) if !agent.running.is_empty() => {
                let which = which % agent.running.len();
                self.execute(agent, which);
                let (_, command, _) = agent.running.swap_remove(which);
                let Command { ticket, data, .. } = command;
                drop(data);
                agent.ring.complete(ticket, &Reply::GOOD);
            }
            Step::Publish => _ = agent.ring.publish(),
            _ => {}
        }
    }

    fn fetch(&mut self, agent: &mut Agent) {
        if let Some(Entry::Command(command)) = agent.ring.next().expect("an honest kernel") {
            let tag = self.tag_of(&command);
            agent.running.push((tag, command, false));
        }
    }

    /// What the kernel calls running under that id: the agent has it right, or the ring breaks.
    fn tag_of(&self, command: &Command) -> Tag {
        let id = Some(command.ticket.id());
        let tag = *self.sent.keys().find(|tag| self.bench.kernel.cmd_id(**tag) == id).expect("a running command");
        assert_eq!(*command.cdb, self.sent[&tag].cdb);
        tag
    }

    fn execute(&mut self, agent: &mut Agent, which: usize) {
        let (tag, command, executed) = &mut agent.running[which];
        if std::mem::replace(executed, true) {
            return;
        }
        let request = &self.sent[tag];
        let range = usize::from(request.cdb[2])..usize::from(request.cdb[2]) + usize::from(request.cdb[3]);
        match request.cdb[0] {
            WRITE => {
                assert_eq!(command.data.to_vec(), request.data_out, "the data are the initiator's");
                self.cells[range].copy_from_slice(&request.data_out);
                self.effects.push(*tag);
            }
            READ => _ = command.data.copy_in(0, &self.cells[range]),
            _ => {
                self.cells[range].iter_mut().for_each(|cell| *cell = cell.wrapping_add(1));
                self.effects.push(*tag);
            }
        }
    }

    fn harvest(&mut self) {
        self.bench.kernel.harvest();
        assert!(!self.bench.kernel.is_broken());
        let tags: Vec<Tag> = self.sent.keys().copied().collect();
        for tag in tags {
            if let Some(completion) = self.bench.kernel.take(tag) {
                assert!(matches!(completion.status, 0 | 8), "status {}", completion.status);
                let before = self.answered.insert(tag, completion.status);
                assert_eq!(before, None, "{tag:?} was answered twice");
                let had_effect = self.effects.contains(&tag) || self.sent[&tag].cdb[0] == READ;
                assert!(completion.status != 0 || had_effect, "{tag:?} was answered and not done");
            }
        }
    }

    /// Lets the last agent live, and answers all.
    fn finish(mut self) {
        fuse::set(None);
        while self.bench.kernel.running() > 0 || self.bench.kernel.waiting() > 0 {
            self.mortal(|world, agent| {
                world.fetch(agent);
                while !agent.running.is_empty() {
                    world.act(agent, Step::Answer(0));
                }
                let _ = agent.ring.publish();
            });
            self.harvest();
        }
        self.harvest();
        assert_eq!(self.answered.len(), self.sent.len(), "every command has its answer");
        let mut agent = self.agent.take().expect("the last one lives");
        while agent.ring.next().expect("an honest kernel").is_some() {}
        let _ = agent.ring.publish();
        self.bench.kernel.harvest();
        assert!(self.bench.kernel.ring_is_empty());
        assert_eq!((agent.ring.outstanding(), self.bench.kernel.blocks_in_use()), (0, 0));
    }
}

/// Runs a history with the fuse off at its end whatever happens: threads of tests are used again.
fn live_through(steps: &[Step]) {
    fuse::set(None);
    let mut world = World::new();
    for step in steps {
        world.apply(*step);
    }
    world.finish();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn no_death_breaks_the_ring_or_repeats_what_must_not_be(
        steps in proptest::collection::vec(step(), 1..200),
    ) {
        live_through(&steps);
    }
}

/// One history, killed before each of its stores in turn.
#[test]
fn every_single_store_may_be_the_last() {
    let write = |cell, count| Step::Submit { operation: WRITE, cell, count };
    let history = [
        write(0, 3),
        write(4, 2),
        Step::Submit { operation: ADD, cell: 8, count: 1 },
        Step::Fetch,
        Step::Fetch,
        Step::Execute(0),
        write(1, 1),
        Step::Fetch,
        Step::Answer(1),
        Step::Publish,
        Step::Fetch,
        Step::Kick,
        write(6, 2),
        Step::Fetch,
        Step::Answer(1),
        Step::Answer(0),
        Step::Publish,
        Step::Kick,
    ];
    for stores in 0..200 {
        let steps: Vec<Step> = std::iter::once(Step::Fuse(stores)).chain(history).collect();
        live_through(&steps);
    }
}
