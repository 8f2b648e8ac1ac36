//! Which test a lane runs next.
//!
//! Tests of one room (`vm::`, `cluster::`, ...) on one kernel share what is slow to make, so a lane stays with them
//! while there are any, and goes where no other lane is when there are none. Some rooms are one lane's alone. Rooms are
//! listed from the ground up, the later the longer, so the last go first: the lanes should end together.

use crate::runner::{self, Due, Test};
use crate::setup::Kernel;
use std::collections::VecDeque;

/// What is left to run.
#[derive(Debug)]
pub struct Schedule {
    groups: Vec<Group>,
}

#[derive(Debug)]
struct Group {
    room: &'static str,
    kernel: Kernel,
    taken: bool,
    /// Whether it is left to the lane that took it.
    one_lane: bool,
    left: VecDeque<Due>,
}

impl Schedule {
    /// All that is due.
    pub fn new(tests: &[Test], kernels: &[Kernel]) -> Schedule {
        let mut schedule = Schedule { groups: Vec::new() };
        runner::due(tests, kernels).for_each(|due| schedule.add(due));
        schedule
    }

    fn add(&mut self, due: Due) {
        let room = room(&due.test);
        match self.groups.iter_mut().find(|group| group.is(room, due.kernel)) {
            Some(group) => group.left.push_back(due),
            None => {
                let (one_lane, left) = (due.test.is_in_one_lane(), VecDeque::from([due]));
                self.groups.push(Group { room, kernel: due.kernel, taken: false, one_lane, left });
            }
        }
    }

    /// The next test for a lane whose last was `last`.
    pub fn next(&mut self, last: Option<&Due>) -> Option<Due> {
        let stay = last.and_then(|last| {
            let room = room(&last.test);
            self.groups.iter().position(|group| group.is(room, last.kernel) && !group.left.is_empty())
        });
        let chosen = match stay {
            Some(same) => same,
            None => self.elsewhere()?,
        };
        let group = &mut self.groups[chosen];
        group.taken = true;
        group.left.pop_front()
    }

    /// The last room that no lane took; if all are taken, the one with most left to run in which there is room for another.
    fn elsewhere(&self) -> Option<usize> {
        let open = || self.groups.iter().enumerate().filter(|(_, group)| group.is_open());
        let untaken = open().filter(|(_, group)| !group.taken).max_by_key(|(_, group)| self.place(group.room));
        untaken.or_else(|| open().max_by_key(|(_, group)| group.left.len())).map(|(number, _)| number)
    }

    /// Where a room is in the list of tests.
    fn place(&self, room: &str) -> Option<usize> {
        self.groups.iter().position(|group| group.room == room)
    }
}

impl Group {
    fn is(&self, room: &str, kernel: Kernel) -> bool {
        self.room == room && self.kernel == kernel
    }

    /// Whether it has a test for a lane that has not run any of it.
    fn is_open(&self) -> bool {
        !(self.left.is_empty() || self.one_lane && self.taken)
    }
}

/// The room of a test: what its name begins with.
pub fn room(test: &Test) -> &'static str {
    test.name().split("::").next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KERNELS: [Kernel; 2] = Kernel::ALL;

    const TESTS: [Test; 6] = [
        Test::new("bed::one", |_| Ok(())),
        Test::without_vm("api::one", |_| Ok(())),
        Test::without_vm("api::two", |_| Ok(())),
        Test::new("vm::one", |_| Ok(())),
        Test::new("vm::two", |_| Ok(())),
        Test::new("vm::three", |_| Ok(())),
    ];

    fn name(due: Due) -> String {
        format!("{} {}", due.test.name(), due.kernel)
    }

    #[test]
    fn each_test_runs_once_for_each_kernel_that_it_depends_on() {
        let mut schedule = Schedule::new(&TESTS, &KERNELS);
        let mut all: Vec<String> = std::iter::from_fn(|| schedule.next(None)).map(name).collect();
        all.sort();
        let [one, two] = KERNELS;
        let vm = ["vm::one", "vm::three", "vm::two", "bed::one"];
        let mut wanted: Vec<String> = vm.iter().flat_map(|t| [format!("{t} {one}"), format!("{t} {two}")]).collect();
        wanted.extend([format!("api::one {one}"), format!("api::two {one}")]);
        wanted.sort();
        assert_eq!(all, wanted);
    }

    #[test]
    fn a_lane_stays_with_what_its_tests_share() {
        let mut schedule = Schedule::new(&TESTS, &KERNELS);
        let first = schedule.next(None).expect("there are some");
        let other = schedule.next(None).expect("there are some");
        assert_eq!((room(&first.test), room(&other.test)), ("vm", "vm"));
        assert_ne!(first.kernel, other.kernel, "two lanes begin apart");
        let second = schedule.next(Some(&first)).expect("there are some");
        assert_eq!((room(&second.test), second.kernel), ("vm", first.kernel));
    }

    #[test]
    fn a_lane_that_is_done_helps_where_most_is_left() {
        let mut schedule = Schedule::new(&TESTS[3..], &KERNELS[..1]);
        let first = schedule.next(None).expect("there are some");
        let helped = schedule.next(None).expect("the only group has two left");
        assert_ne!(first.test.name(), helped.test.name());
    }

    #[test]
    fn what_is_one_lanes_is_left_to_it() {
        let mut schedule = Schedule::new(&TESTS.map(Test::in_one_lane)[3..], &KERNELS[..1]);
        let first = schedule.next(None).expect("there are some");
        assert!(schedule.next(None).is_none(), "another lane runs tests of the same room");
        assert!(schedule.next(Some(&first)).is_some());
    }
}
