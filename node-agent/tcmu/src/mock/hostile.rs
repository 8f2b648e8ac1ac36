//! A kernel that writes whatever it likes, an agent that does its best, and what must hold whatever they do: nothing
//! makes the ring panic, hand out memory outside the data area, or go on after it has found a lie.
//!
//! A step is made of any bytes, so that chance (the room's own tests) and a fuzzer that watches coverage (`tests/fuzz`)
//! play one game.

use super::{Config, Kernel, Request};
use crate::abi::{cdb_len, command, header, mailbox};
use crate::{Command, Entry, MAX_CDB, Reply, Ring};

/// Bytes that make a step.
pub const STEP: usize = 12;

/// Mailbox and ring, and the data area behind them.
const BEFORE_DATA: usize = mailbox::SIZE + 4096;
const BLOCK: usize = 4096;
const BLOCKS: usize = 64;
const DATA: usize = BLOCKS * BLOCK;

/// Fields of an entry that a lie is likely about.
const FIELDS: [usize; 9] = [
    header::LEN_OP,
    header::CMD_ID,
    command::IOV_CNT,
    command::IOV_BIDI_CNT,
    command::CDB_OFF,
    command::IOV,
    command::IOV + 8,
    command::IOV + command::IOV_SIZE,
    command::SIZE as usize,
];

/// Fields of the mailbox that a lie is likely about.
const PLACES: [usize; 4] = [mailbox::CMD_HEAD, mailbox::CMD_TAIL, mailbox::CMDR_SIZE, mailbox::CMDR_OFF];

/// Values at which something ends.
const EDGES: [u64; 13] = [0, 1, 7, 8, 112, 120, 4088, 4096, 4224, u32::MAX as u64, u64::MAX - 7, u64::MAX, 1 << 63];

/// What the kernel or the agent does.
#[derive(Clone, Copy, Debug)]
enum Step {
    Submit {
        opcode: u8,
        out: usize,
        incoming: usize,
    },
    TaskManagement(usize),
    /// Overwrites a field of the newest entry.
    Spoil {
        field: usize,
        lie: Lie,
    },
    /// Overwrites anything before the data area.
    Poke {
        at: usize,
        lie: Lie,
    },
    Read,
    Complete(usize),
    Publish,
}

#[derive(Clone, Copy, Debug)]
struct Lie {
    value: u64,
    /// Eight bytes rather than four.
    long: bool,
}

impl Step {
    fn of([what, which, size, more, value @ ..]: [u8; STEP]) -> Self {
        let which = usize::from(which);
        let len = |byte: u8| usize::from(byte) * 36;
        let lie = Lie { value: value_of(size, value), long: more % 2 == 1 };
        match what % 19 {
            0..4 => Self::Submit { opcode: value[0], out: len(size), incoming: len(more) },
            4 => Self::TaskManagement(which % 20),
            5..7 => Self::Spoil { field: FIELDS[which % FIELDS.len()], lie },
            7 if which < 51 => Self::Poke { at: PLACES[which % PLACES.len()], lie },
            7 => Self::Poke { at: usize::from(u16::from_le_bytes([value[6], value[7]])) % (BEFORE_DATA / 8) * 8, lie },
            8..14 => Self::Read,
            14..17 => Self::Complete(which),
            _ => Self::Publish,
        }
    }
}

/// A value near something that matters, or any.
fn value_of(kind: u8, bytes: [u8; 8]) -> u64 {
    let value = u64::from_le_bytes(bytes);
    match kind % 9 {
        0..3 => EDGES[usize::from(bytes[0]) % EDGES.len()],
        3..6 => (value % 600) << 3 | value >> 61,
        6..8 => BEFORE_DATA as u64 - 2048 + value % (DATA as u64 + 4096),
        _ => value,
    }
}

/// Plays the steps.
///
/// # Panics
/// When something that must hold does not: that is a failed test.
pub fn play(steps: impl IntoIterator<Item = [u8; STEP]>) {
    let config = Config { ring_bytes: 4096 + 128, blocks: BLOCKS, block_size: BLOCK, flags: 0xf };
    let mut kernel = Kernel::new(config);
    let (_device, mut ring) = kernel.device();
    let mut running = Vec::new();
    for step in steps {
        take(Step::of(step), &mut kernel, &mut ring, &mut running);
    }
}

fn take(step: Step, kernel: &mut Kernel, ring: &mut Ring, running: &mut Vec<Command>) {
    match step {
        Step::Submit { opcode, out, incoming } => submit(kernel, opcode, out, incoming),
        Step::TaskManagement(ids) => drop(kernel.task_management(1, &[3; 20][..ids])),
        Step::Spoil { field, lie } => spoil(kernel, field, lie),
        Step::Poke { at, lie } => overwrite(kernel, at, lie),
        Step::Read => read(kernel, ring, running),
        Step::Complete(which) if !running.is_empty() => {
            let Command { ticket, data, bidi, .. } = running.swap_remove(which % running.len());
            drop((data, bidi));
            ring.complete(ticket, &Reply::GOOD);
        }
        Step::Complete(_) => {}
        Step::Publish => drop(ring.publish()),
    }
}

fn submit(kernel: &mut Kernel, opcode: u8, out: usize, incoming: usize) {
    let mut cdb = vec![0; cdb_len([opcode, 0, 0, 0, 0, 0, 0, 0])];
    cdb[0] = opcode;
    kernel.submit(Request { cdb, data_out: vec![1; out], data_in_len: incoming });
}

fn spoil(kernel: &mut Kernel, field: usize, lie: Lie) {
    let Some(at) = kernel.last_entry().map(|at| kernel.base(at) + field) else { return };
    // An entry near the end of the ring is shorter than that.
    if at + 8 <= BEFORE_DATA {
        overwrite(kernel, at, lie);
    }
}

fn overwrite(kernel: &mut Kernel, at: usize, Lie { value, long }: Lie) {
    #[expect(clippy::cast_possible_truncation, reason = "any bytes will do")]
    let short = value as u32;
    if long && at.is_multiple_of(8) { kernel.poke64(at, value) } else { kernel.poke32(at, short) }
}

/// All that is not data.
fn shared(kernel: &Kernel) -> Vec<u32> {
    (0..BEFORE_DATA).step_by(4).map(|at| kernel.peek32(at)).collect()
}

fn read(kernel: &Kernel, ring: &mut Ring, running: &mut Vec<Command>) {
    match ring.next() {
        Ok(Some(Entry::Command(mut command))) => {
            assert!(command.cdb.len() <= MAX_CDB, "a CDB of {} bytes", command.cdb.len());
            let before = shared(kernel);
            for data in std::iter::once(&mut command.data).chain(command.bidi.as_deref_mut()) {
                assert!(data.len() <= DATA, "data of {} bytes", data.len());
                assert_eq!(data.to_vec().len(), data.len());
                data.fill(0, data.len(), 0xff);
            }
            assert_eq!(shared(kernel), before, "its data lie outside the data area");
            running.push(command);
        }
        Ok(_) => assert!(!ring.is_broken(), "a broken ring has entries"),
        Err(fault) => {
            assert_eq!(ring.next().map(drop), Err(fault), "it stays broken");
            assert_eq!(ring.fault(), Some(fault));
        }
    }
}
