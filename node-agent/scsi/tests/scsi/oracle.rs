//! What a command comes to, told by the rules of `docs/reference/scsi.md` from its bytes alone: a volume that is a vector,
//! and nothing of the code under test but the table's masks of reserved bits.
//!
//! [`Volume::run`] runs a command on both and compares. Chance (`forms`) and a fuzzer that watches coverage
//! (`tests/fuzz`) stand on it.

use lunette_backend::Discard;
use lunette_scsi::SenseKey;
use lunette_scsi::opcodes::{OPCODES, Opcode};

use crate::lun::{
    Ended, INVALID_FIELD_IN_CDB, INVALID_OPCODE, Lun, OUT_OF_RANGE, SOFTWARE_WRITE_PROTECTED, WRITE_PROTECTED,
    WRONG_EXPECTED_LENGTH,
};
use crate::ram::GARBAGE;

/// Sense key, ASC and ASCQ.
type Code = (u8, u8, u8);

/// A volume, as far as commands can tell.
pub struct Volume {
    /// What it holds.
    pub bytes: Vec<u8>,
    block: usize,
    read_only: bool,
    discard: Discard,
    /// Blocks of the longest transfer.
    longest: u64,
}

/// The commands whose effect on the medium is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Read,
    Write,
    WriteAndVerify,
    OrWrite,
    Verify,
    WriteSame,
    CompareAndWrite,
    WriteAtomic,
    Unmap,
    /// FORMAT UNIT and SANITIZE, BLOCK ERASE.
    Erase,
    /// SANITIZE, OVERWRITE, and the copies: what they leave is taken from the medium.
    Other,
}

impl Kind {
    /// Of a CDB; none for a command that touches no block.
    fn of(cdb: &[u8]) -> Option<Self> {
        Some(match (cdb[0], action(cdb)) {
            (0x08 | 0x28 | 0xa8 | 0x88, _) | (0x7f, 0x09) => Self::Read,
            (0x0a | 0x2a | 0xaa | 0x8a, _) | (0x7f, 0x0b) => Self::Write,
            (0x2e | 0xae | 0x8e, _) | (0x7f, 0x0c) => Self::WriteAndVerify,
            (0x2f | 0xaf | 0x8f, _) | (0x7f, 0x0a) => Self::Verify,
            (0x41 | 0x93, _) | (0x7f, 0x0d) => Self::WriteSame,
            (0x8b, _) => Self::OrWrite,
            (0x89, _) => Self::CompareAndWrite,
            (0x9c, _) => Self::WriteAtomic,
            (0x42, _) => Self::Unmap,
            (0x04, _) | (0x48, 0x02) => Self::Erase,
            (0x48, 0x01) | (0x83, _) => Self::Other,
            _ => return None,
        })
    }

    /// Whether every reason to refuse it is told here, in the order in which they are looked for.
    fn is_plain(self) -> bool {
        matches!(self, Self::Read | Self::Write | Self::WriteAndVerify | Self::OrWrite)
    }
}

/// SERVICE ACTION, where an operation code has it.
fn action(cdb: &[u8]) -> u16 {
    let byte = |at: usize| cdb.get(at).copied().unwrap_or(0);
    if byte(0) == 0x7f { u16::from_be_bytes([byte(8), byte(9)]) } else { u16::from(byte(1) & 0x1f) }
}

/// A CDB cut to the length of its command; or why there is no such command.
fn form(cdb: &[u8]) -> Result<(&'static Opcode, &[u8]), Code> {
    let code = cdb.first().copied().unwrap_or(0);
    let mut known = OPCODES.iter().filter(|op| op.code == code).peekable();
    known.peek().ok_or(INVALID_OPCODE)?;
    let op = known.find(|op| op.action.is_none_or(|own| own == action(cdb))).ok_or(INVALID_FIELD_IN_CDB)?;
    Ok((op, cdb.get(..op.usage.len()).ok_or(INVALID_FIELD_IN_CDB)?))
}

/// Whether a CDB has a bit that is not of its command.
fn is_ill_formed(op: &Opcode, cdb: &[u8]) -> bool {
    let own_length = cdb[0] == 0x7f && cdb[7] != op.usage[7];
    own_length || cdb.iter().zip(op.usage).skip(1).any(|(byte, mask)| byte & !mask != 0)
}

/// LBA and number of blocks, where a CDB of this form has them; 0 blocks are 256 in the shortest.
fn range(cdb: &[u8]) -> (u64, u64) {
    let be = |from: usize, to: usize| be(&cdb[from..to]);
    match (cdb.len(), cdb[0]) {
        (6, _) => (be(1, 4) & 0x1f_ffff, if cdb[4] == 0 { 256 } else { be(4, 5) }),
        (10, _) => (be(2, 6), be(7, 9)),
        (12, _) => (be(2, 6), be(6, 10)),
        (16, 0x89) => (be(2, 10), be(13, 14)),
        (16, 0x9c) => (be(2, 10), be(12, 14)),
        (16, _) => (be(2, 10), be(10, 14)),
        _ => (be(12, 20), be(28, 32)),
    }
}

/// A number in the byte order of SCSI.
pub fn be(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |n, byte| n << 8 | u64::from(*byte))
}

impl Volume {
    /// The one behind `lun`, as it is now. Its longest transfer is of `longest` bytes.
    pub fn of(lun: &Lun, longest: usize) -> Self {
        let geometry = lun.scsi.disk().geometry();
        let (read_only, discard) = (geometry.read_only, geometry.discard);
        Self { bytes: lun.ram.bytes(), block: lun.block, read_only, discard, longest: (longest / lun.block) as u64 }
    }

    /// Runs a command on `lun` too, and compares.
    ///
    /// # Panics
    /// When the two differ: a failed test.
    pub fn run(&mut self, lun: &Lun, cdb: &[u8], data: &[u8]) -> Ended {
        let protection = self.protection(lun);
        let ended = lun.run(cdb, data);
        let outcome = &ended.outcome;
        assert!(matches!((outcome.status, outcome.sense), (0, None) | (2, Some(_))), "{cdb:02x?} came to {outcome:?}");
        let sense = outcome.sense.map(|sense| (sense.key as u8, sense.asc.0, sense.asc.1));
        match form(cdb) {
            Err(refusal) => assert_eq!(sense, Some(refusal), "{cdb:02x?}"),
            Ok((op, cdb)) => {
                if let Some(kind) = Kind::of(cdb) {
                    if kind.is_plain() {
                        let refusal = self.refusal(kind, op, cdb, data.len(), protection);
                        assert_eq!(sense, refusal, "{cdb:02x?} with {} bytes", data.len());
                    }
                    self.follow(lun, kind, cdb, data, &ended);
                }
            }
        }
        assert!(*lun.ram.borrow_bytes() == self.bytes, "{cdb:02x?} left something else; it came to {sense:02x?}");
        ended
    }

    /// Does what the command did, as far as that can be told from how it ended.
    fn follow(&mut self, lun: &Lun, kind: Kind, cdb: &[u8], data: &[u8], ended: &Ended) {
        let key = ended.outcome.sense.map(|sense| sense.key);
        match (kind, key) {
            (Kind::Other, Some(SenseKey::IllegalRequest | SenseKey::DataProtect)) => {}
            (Kind::Other, _) => self.bytes = lun.ram.bytes(),
            (Kind::Read, None) => self.check_read(cdb, data.len(), ended),
            (_, None) => self.apply(kind, cdb, data),
            (Kind::CompareAndWrite, Some(SenseKey::Miscompare)) => self.check_miscompare(cdb, data, ended),
            _ => {}
        }
    }

    /// Why nothing may be written, if so.
    fn protection(&self, lun: &Lun) -> Option<Code> {
        let software = lun.kept.borrow().last().is_some_and(|state| state.software_write_protect);
        if self.read_only { Some(WRITE_PROTECTED) } else { software.then_some(SOFTWARE_WRITE_PROTECTED) }
    }

    fn refusal(&self, kind: Kind, op: &Opcode, cdb: &[u8], expected: usize, protection: Option<Code>) -> Option<Code> {
        if is_ill_formed(op, cdb) {
            return Some(INVALID_FIELD_IN_CDB);
        }
        let (lba, blocks) = range(cdb);
        let writes = kind != Kind::Read;
        let whole = (self.bytes.len() / self.block) as u64;
        if let Some(code) = protection.filter(|_| writes) {
            Some(code)
        } else if lba.checked_add(blocks).is_none_or(|end| end > whole) {
            Some(OUT_OF_RANGE)
        } else if blocks > self.longest {
            Some(INVALID_FIELD_IN_CDB)
        } else if writes && (expected as u64) < blocks * self.block as u64 {
            Some(WRONG_EXPECTED_LENGTH)
        } else {
            None
        }
    }

    /// The bytes that a command is about, which was not refused.
    fn touched(&mut self, cdb: &[u8]) -> &mut [u8] {
        let (lba, blocks) = range(cdb);
        self.run_of(lba, blocks)
    }

    fn run_of(&mut self, lba: u64, blocks: u64) -> &mut [u8] {
        let at = |lba: u64| usize::try_from(lba).unwrap() * self.block;
        let (from, to) = (at(lba), at(lba + blocks));
        &mut self.bytes[from..to]
    }

    fn check_read(&mut self, cdb: &[u8], expected: usize, ended: &Ended) {
        let mut read = self.touched(cdb).to_vec();
        read.truncate(expected);
        let valid = ended.outcome.data_in.map(|n| n as usize);
        assert_eq!(valid, Some(read.len()).filter(|n| *n < expected), "{cdb:02x?}");
        assert!(ended.data[..read.len()] == read, "{cdb:02x?} read something else");
        assert!(ended.data[read.len()..].iter().all(|byte| *byte == 0), "what is not valid is zeroed");
    }

    fn check_miscompare(&mut self, cdb: &[u8], data: &[u8], ended: &Ended) {
        let held = self.touched(cdb);
        let first = held.iter().zip(data).position(|(held, given)| held != given);
        let told = ended.outcome.sense.and_then(|sense| sense.information);
        assert_eq!(told, first.map(|at| at as u64), "the first byte that differs");
        assert!(told.is_some(), "{cdb:02x?} found a difference where there is none");
    }

    /// What a command that ended well has done.
    fn apply(&mut self, kind: Kind, cdb: &[u8], data: &[u8]) {
        match kind {
            Kind::Write | Kind::WriteAndVerify | Kind::WriteAtomic => {
                let touched = self.touched(cdb);
                touched.copy_from_slice(&data[..touched.len()]);
            }
            Kind::OrWrite => self.touched(cdb).iter_mut().zip(data).for_each(|(held, byte)| *held |= byte),
            Kind::Verify => self.check_verified(cdb, data),
            Kind::WriteSame => self.write_same(cdb, data),
            Kind::CompareAndWrite => {
                let touched = self.touched(cdb);
                let (compared, written) = data[..2 * touched.len()].split_at(touched.len());
                assert!(touched == compared, "it wrote over something else than it was to compare with");
                touched.copy_from_slice(written);
            }
            Kind::Unmap => self.unmap(cdb, data),
            Kind::Erase => self.bytes.fill(0),
            Kind::Read | Kind::Other => {}
        }
    }

    /// BYTCHK 00b, 01b or 11b.
    fn check_verified(&mut self, cdb: &[u8], data: &[u8]) {
        let block = self.block;
        let how = cdb[if cdb.len() == 32 { 10 } else { 1 }] >> 1 & 3;
        let touched = self.touched(cdb);
        match how {
            1 => assert!(data.starts_with(touched), "{cdb:02x?} saw no difference"),
            3 => assert!(touched.chunks(block).all(|held| data.starts_with(held)), "{cdb:02x?} saw no difference"),
            _ => {}
        }
    }

    /// A length of zero goes to the end; NDOB means zeroes.
    fn write_same(&mut self, cdb: &[u8], data: &[u8]) {
        let no_data = cdb.len() > 10 && cdb[if cdb.len() == 32 { 10 } else { 1 }] & 1 != 0;
        let block = if no_data { vec![0; self.block] } else { data[..self.block].to_vec() };
        let (lba, blocks) = range(cdb);
        let whole = (self.bytes.len() / self.block) as u64;
        let blocks = if blocks == 0 { whole - lba } else { blocks };
        self.run_of(lba, blocks).chunks_mut(block.len()).for_each(|held| held.copy_from_slice(&block));
    }

    fn unmap(&mut self, cdb: &[u8], data: &[u8]) {
        assert_ne!(self.discard, Discard::Unsupported, "nothing can be given back");
        let left = if self.discard == Discard::Zeroes { 0 } else { GARBAGE };
        let len = usize::from(u16::from_be_bytes([cdb[7], cdb[8]]));
        if len == 0 {
            return;
        }
        let described = usize::from(u16::from_be_bytes([data[2], data[3]])).min(len - 8);
        for descriptor in data[8..8 + described].chunks_exact(16) {
            self.run_of(be(&descriptor[..8]), be(&descriptor[8..12])).fill(left);
        }
    }
}
