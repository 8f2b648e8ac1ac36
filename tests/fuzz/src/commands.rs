//! CDBs of every operation code, with data, one after another on one volume, against the oracle of the SCSI room's tests.

use lunette_scsi::opcodes::OPCODES;

use crate::lun::Lun;
use crate::oracle::Volume;
use crate::volume;

/// Bytes that make a command.
const COMMAND: usize = 10;
/// Commands in one game.
const LONGEST: usize = 48;

/// Operation codes of commands that tell the same twice, if nothing happens in between.
const TELLING: [u8; 13] = [0x12, 0x1a, 0x1c, 0x25, 0x37, 0x3c, 0x4d, 0x5a, 0x84, 0x9b, 0x9e, 0xa3, 0xb7];
/// Service actions of [`TELLING`] that take what they tell off a list.
const TOLD_ONCE: [u8; 4] = [0x00, 0x04, 0x05, 0x07];

/// The first byte says which kind of volume it is, each ten that follow are a command.
pub fn play(bytes: &[u8]) {
    let Some((kind, commands)) = bytes.split_first() else { return };
    let (lun, mut volume) = volume::of_kind(*kind);
    let (commands, _) = commands.as_chunks::<COMMAND>();
    for command in commands.iter().take(LONGEST) {
        let (cdb, data) = command_of(*command, lun.block);
        volume.run(&lun, &cdb, &data);
        // A CDB may be cut off behind its operation code.
        let is_told_once = cdb[0] == 0x84 && cdb.get(1).is_some_and(|action| TOLD_ONCE.contains(action));
        if TELLING.contains(&cdb[0]) && !is_told_once {
            tells_nothing_stale(&lun, &mut volume, &cdb, data.len());
        }
    }
}

/// A CDB that an entry of the table takes, but for one byte that may have become anything, and its data.
fn command_of(bytes: [u8; COMMAND], block: usize) -> (Vec<u8>, Vec<u8>) {
    let [entry, flags, lba, blocks, spoilt, with, lengths, more, byte, step] = bytes;
    let Some(op) = OPCODES.get(usize::from(entry)) else {
        // None of them: a CDB as it comes.
        let len = usize::from(more) % 33;
        return ((0..len.max(1)).map(|at| bytes[(at + 1) % COMMAND]).collect(), vec![byte; usize::from(blocks) * 8]);
    };
    let mut cdb: Vec<u8> = vec![0; op.usage.len()];
    let whole = cdb.len();
    cdb[0] = op.code;
    let (flags_at, lba_at, blocks_at) = match whole {
        6 => (1, 3, 4),
        10 => (1, 5, 8),
        12 => (1, 5, 9),
        16 => (1, 9, 13),
        _ => (10, 19, 31),
    };
    (cdb[lba_at], cdb[blocks_at]) = (lba % 68, blocks % 36);
    if op.code == 0x7f {
        (cdb[7], cdb[9]) = (op.usage[7], op.usage[9]);
        cdb[flags_at] = flags & op.usage[flags_at];
    } else {
        cdb[1] = if op.action.is_some() { op.usage[1] } else { flags & op.usage[1] };
    }
    // Odd, so that half of the CDBs are as they should be.
    if spoilt % 2 == 1 {
        cdb[usize::from(spoilt / 2) % whole] ^= with;
    }
    let named = usize::from(blocks % 36) * block;
    let len = match lengths % 8 {
        0..4 => named,
        4 => named + usize::from(more),
        5 => named.saturating_sub(usize::from(more)),
        6 => 2 * named,
        _ => usize::from(more) * 3,
    };
    // Blocks differ from one another, unless the step is zero.
    let data =
        (0..=u8::MAX).cycle().flat_map(|number| vec![byte.wrapping_add(step.wrapping_mul(number)); block]).take(len);
    (cdb, data.collect())
}

/// Whatever its memory held before, a command that tells something tells the same.
fn tells_nothing_stale(lun: &Lun, volume: &mut Volume, cdb: &[u8], len: usize) {
    let first = volume.run(lun, cdb, &vec![0xee; len]);
    let second = volume.run(lun, cdb, &vec![0x11; len]);
    assert_eq!(first.outcome, second.outcome, "{cdb:02x?}");
    if first.outcome.is_good() {
        assert_eq!(first.data, second.data, "{cdb:02x?} told what was in its memory before");
    }
}
