//! A kernel that writes whatever it likes, at random: nothing makes the ring panic, hand out memory outside the data
//! area, or go on after it has found a lie.

use proptest::prelude::*;

use super::small;
use crate::abi::{command, header, mailbox};
use crate::mock::{Kernel, Request};
use crate::{Command, Entry, Reply, Ring};

/// Mailbox and ring of [`small`], and the data area behind them.
const BEFORE_DATA: usize = 128 + 4096;
const DATA: usize = 64 * 4096;

#[derive(Clone, Copy, Debug)]
enum Step {
    Submit {
        opcode: u8,
        out: usize,
        incoming: usize,
    },
    TaskManagement(u8),
    /// Overwrites a field of the newest entry.
    Spoil {
        field: usize,
        value: u64,
        long: bool,
    },
    /// Overwrites anything before the data area.
    Poke {
        at: usize,
        value: u64,
        long: bool,
    },
    Read,
    Complete(prop::sample::Index),
    Publish,
}

fn value() -> impl Strategy<Value = u64> {
    let edges = vec![0, 1, 7, 8, 112, 120, 4088, 4096, 4224, u64::from(u32::MAX), u64::MAX - 7, u64::MAX, 1 << 63];
    prop_oneof![
        3 => prop::sample::select(edges),
        3 => (0..600_u64, 0..8_u64).prop_map(|(words, op)| words << 3 | op),
        2 => (0..DATA as u64 + 4096).prop_map(|at| BEFORE_DATA as u64 - 2048 + at),
        1 => any::<u64>(),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let fields = vec![
        header::LEN_OP,
        header::CMD_ID,
        command::IOV_CNT,
        command::IOV_BIDI_CNT,
        command::CDB_OFF,
        command::IOV,
        command::IOV + 8,
        command::IOV + 16,
        112,
    ];
    let places = prop_oneof![
        1 => prop::sample::select(vec![mailbox::CMD_HEAD, mailbox::CMD_TAIL, mailbox::CMDR_SIZE, mailbox::CMDR_OFF]),
        4 => (0..BEFORE_DATA / 8).prop_map(|word| word * 8),
    ];
    prop_oneof![
        4 => (any::<u8>(), 0..9000_usize, 0..9000_usize)
            .prop_map(|(opcode, out, incoming)| Step::Submit { opcode, out, incoming }),
        1 => (0..20_u8).prop_map(Step::TaskManagement),
        2 => (prop::sample::select(fields), value(), any::<bool>())
            .prop_map(|(field, value, long)| Step::Spoil { field, value, long }),
        1 => (places, value(), any::<bool>()).prop_map(|(at, value, long)| Step::Poke { at, value, long }),
        6 => Just(Step::Read),
        3 => any::<prop::sample::Index>().prop_map(Step::Complete),
        2 => Just(Step::Publish),
    ]
}

fn overwrite(kernel: &mut Kernel, at: usize, value: u64, long: bool) {
    #[expect(clippy::cast_possible_truncation, reason = "any bytes will do")]
    let short = value as u32;
    if long && at.is_multiple_of(8) { kernel.poke64(at, value) } else { kernel.poke32(at, short) }
}

/// All that is not data.
fn shared(kernel: &Kernel) -> Vec<u32> {
    (0..BEFORE_DATA).step_by(4).map(|at| kernel.peek32(at)).collect()
}

fn read(kernel: &Kernel, ring: &mut Ring, running: &mut Vec<Command>) -> Result<(), TestCaseError> {
    match ring.next() {
        Ok(Some(Entry::Command(mut command))) => {
            prop_assert!(command.cdb.len() <= crate::MAX_CDB);
            let before = shared(kernel);
            for data in std::iter::once(&mut command.data).chain(command.bidi.as_deref_mut()) {
                prop_assert!(data.len() <= DATA);
                prop_assert_eq!(data.to_vec().len(), data.len());
                data.fill(0, data.len(), 0xff);
            }
            prop_assert_eq!(shared(kernel), before, "its data lie outside the data area");
            running.push(command);
        }
        Ok(_) => prop_assert!(!ring.is_broken()),
        Err(fault) => {
            prop_assert_eq!(ring.next().map(drop), Err(fault), "it stays broken");
            prop_assert_eq!(ring.fault(), Some(fault));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn nothing_that_a_kernel_writes_is_believed(steps in prop::collection::vec(step(), 1..50)) {
        let (mut kernel, mut ring) = small();
        let mut running = Vec::new();
        for step in steps {
            match step {
                Step::Submit { opcode, out, incoming } => {
                    let len = crate::abi::cdb_len([opcode, 0, 0, 0, 0, 0, 0, 0]);
                    let mut cdb = vec![0; len];
                    cdb[0] = opcode;
                    kernel.submit(Request { cdb, data_out: vec![1; out], data_in_len: incoming });
                }
                Step::TaskManagement(ids) => drop(kernel.task_management(1, &vec![3; ids.into()])),
                Step::Spoil { field, value, long } => if let Some(at) = kernel.last_entry() {
                    let at = kernel.base(at) + field;
                    // An entry near the end of the ring is shorter than that.
                    if at + 8 <= BEFORE_DATA {
                        overwrite(&mut kernel, at, value, long);
                    }
                },
                Step::Poke { at, value, long } => overwrite(&mut kernel, at, value, long),
                Step::Read => read(&kernel, &mut ring, &mut running)?,
                Step::Complete(which) => if !running.is_empty() {
                    let Command { ticket, data, bidi, .. } = running.swap_remove(which.index(running.len()));
                    drop((data, bidi));
                    ring.complete(ticket, &Reply::GOOD);
                },
                Step::Publish => drop(ring.publish()),
            }
        }
    }
}
