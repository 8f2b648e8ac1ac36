//! Random histories: whatever the order of submissions, reads, completions and kicks, every initiator
//! gets exactly the answer that was given to its command, and the ring ends empty.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::of_ring_size;
use crate::mock::{Kernel, Request, Tag};
use crate::{Command, Entry, Reply, Ring};

#[derive(Clone, Copy, Debug)]
enum Step {
    Submit { opcode: u8, additional: u8, out: usize, incoming: usize },
    Unknown,
    TaskManagement(u8),
    Read,
    ReadAll,
    Complete(prop::sample::Index, u8),
    Publish,
    Expire(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    let size = || prop_oneof![4 => Just(0usize), 2 => 1usize..5000, 1 => 1usize..40_000];
    prop_oneof![
        6 => (any::<u8>(), any::<u8>(), size(), size())
            .prop_map(|(opcode, additional, out, incoming)| {
                Step::Submit { opcode, additional: additional % 253, out, incoming }
            }),
        1 => Just(Step::Unknown),
        1 => (0u8..20).prop_map(Step::TaskManagement),
        5 => Just(Step::Read),
        1 => Just(Step::ReadAll),
        6 => (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(i, status)| Step::Complete(i, status)),
        3 => Just(Step::Publish),
        1 => any::<prop::sample::Index>().prop_map(Step::Expire),
    ]
}

struct Model {
    kernel: Kernel,
    ring: Ring,
    submitted: BTreeMap<Tag, Request>,
    running: Vec<(Tag, Command)>,
    /// The answer each initiator must get.
    expected: BTreeMap<Tag, (u8, Vec<u8>)>,
    expired: Vec<Tag>,
    serial: u8,
}

impl Model {
    fn new(ring_size: u32) -> Self {
        let (kernel, ring) = of_ring_size(ring_size);
        Self {
            kernel,
            ring,
            submitted: BTreeMap::new(),
            running: Vec::new(),
            expected: BTreeMap::new(),
            expired: Vec::new(),
            serial: 0,
        }
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Submit { opcode, additional, out, incoming } => self.submit(opcode, additional, out, incoming),
            Step::Unknown => self.unknown(),
            Step::TaskManagement(ids) => _ = self.kernel.task_management(1, &vec![3; ids.into()]),
            Step::Read => _ = self.read(),
            Step::ReadAll => while self.read() {},
            Step::Complete(which, status) if !self.running.is_empty() => {
                self.complete(which.index(self.running.len()), status);
            }
            Step::Publish => self.publish(),
            Step::Expire(which) if !self.running.is_empty() => self.expire(which.index(self.running.len())),
            Step::Complete(..) | Step::Expire(_) => {}
        }
    }

    fn submit(&mut self, opcode: u8, additional: u8, out: usize, incoming: usize) {
        self.serial = self.serial.wrapping_add(1);
        let len = crate::abi::cdb_len([opcode, 0, 0, 0, 0, 0, 0, additional]);
        let mut cdb = vec![self.serial; len];
        cdb[0] = opcode;
        if opcode == 0x7f {
            cdb[7] = additional;
        }
        let request = Request { cdb, data_out: vec![self.serial; out], data_in_len: incoming };
        let tag = self.kernel.submit(request.clone());
        self.submitted.insert(tag, request);
    }

    fn unknown(&mut self) {
        let tag = self.kernel.submit(Request::bare(&[0; 6]));
        if self.kernel.cmd_id(tag).is_some() {
            self.kernel.make_last_unknown();
            self.expected.insert(tag, (2, Vec::new()));
        } else {
            self.submitted.insert(tag, Request::bare(&[0; 6]));
        }
    }

    fn read(&mut self) -> bool {
        let entry = self.ring.next().expect("an honest kernel");
        let there = entry.is_some();
        if let Some(Entry::Command(command)) = entry {
            let tag = self.tag_of(&command);
            let request = &self.submitted[&tag];
            assert_eq!(*command.cdb, request.cdb);
            let (data, bidi) = (&command.data, command.bidi.as_ref().map_or(0, |bidi| bidi.len()));
            if request.data_out.is_empty() {
                assert_eq!((data.len(), bidi), (request.data_in_len, 0));
            } else {
                assert_eq!((data.to_vec(), bidi), (request.data_out.clone(), request.data_in_len));
            }
            self.running.push((tag, command));
        }
        there
    }

    fn tag_of(&self, command: &Command) -> Tag {
        let id = Some(command.ticket.id());
        *self.submitted.keys().find(|tag| self.kernel.cmd_id(**tag) == id).expect("a running command")
    }

    fn complete(&mut self, which: usize, status: u8) {
        let (tag, mut command) = self.running.swap_remove(which);
        let request = &self.submitted[&tag];
        if !request.data_out.is_empty() {
            assert_eq!(command.data.to_vec(), request.data_out, "nobody else wrote there");
        }
        let incoming = command.bidi.as_deref_mut().unwrap_or(&mut command.data);
        let fill = request.cdb[1];
        incoming.fill(0, incoming.len(), fill);
        let in_len = if status == 2 { 0 } else { request.data_in_len };
        self.expected.insert(tag, (status, vec![fill; in_len]));
        let sense = [fill; 18];
        let sense = if status == 2 { &sense[..] } else { &[] };
        drop((command.data, command.bidi));
        self.ring.complete(command.ticket, &Reply { status, sense, read_len: None });
    }

    fn expire(&mut self, which: usize) {
        let tag = self.running[which].0;
        if !self.expired.contains(&tag) {
            self.kernel.expire(tag);
            assert_eq!(self.kernel.take(tag).expect("expired").sense[12], 8);
            self.expired.push(tag);
        }
    }

    fn publish(&mut self) {
        if self.ring.publish() {
            self.kernel.harvest();
        }
        assert!(!self.kernel.is_broken());
    }

    /// Answers all, and compares every answer.
    fn finish(mut self) {
        while self.kernel.running() > 0 || self.kernel.waiting() > 0 {
            while self.read() {}
            while !self.running.is_empty() {
                self.complete(0, 0);
            }
            self.publish();
        }
        while self.read() {}
        self.publish();
        assert!(self.kernel.ring_is_empty());
        assert_eq!((self.ring.outstanding(), self.kernel.blocks_in_use()), (0, 0));
        for (tag, (status, data)) in self.expected {
            match self.kernel.take(tag) {
                None => assert!(self.expired.contains(&tag), "{tag:?} has no answer"),
                Some(completion) => assert_eq!((completion.status, completion.data), (status, data)),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(250))]

    #[test]
    fn every_command_gets_its_own_answer(
        size in 160u32..512,
        steps in proptest::collection::vec(step(), 1..300),
    ) {
        let mut model = Model::new(size * 8);
        for step in steps {
            model.apply(step);
        }
        model.finish();
    }
}
