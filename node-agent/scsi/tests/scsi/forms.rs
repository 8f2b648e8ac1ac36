//! Every form of reading and writing, with any LBA, length, flags and expected transfer length: what each comes to is
//! told by the rules of `docs/reference/scsi.md`, in the order in which the standards have them checked.

use proptest::prelude::*;

use crate::lun::{
    INVALID_FIELD_IN_CDB, Lun, OUT_OF_RANGE, STALE, WRITE_PROTECTED, WRONG_EXPECTED_LENGTH, cdb10, cdb12, cdb16, cdb32,
};

/// Blocks of the volume, and of the longest transfer.
const BLOCKS: u64 = 64;
const LONGEST: u32 = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Read,
    Write,
    WriteAndVerify,
    OrWrite,
}

/// A command in one of its forms: bytes of the CDB.
type Form = (Kind, usize);

const FORMS: [Form; 15] = [
    (Kind::Read, 6),
    (Kind::Read, 10),
    (Kind::Read, 12),
    (Kind::Read, 16),
    (Kind::Read, 32),
    (Kind::Write, 6),
    (Kind::Write, 10),
    (Kind::Write, 12),
    (Kind::Write, 16),
    (Kind::Write, 32),
    (Kind::WriteAndVerify, 10),
    (Kind::WriteAndVerify, 12),
    (Kind::WriteAndVerify, 16),
    (Kind::WriteAndVerify, 32),
    (Kind::OrWrite, 16),
];

#[derive(Clone, Copy, Debug)]
struct Step {
    form: Form,
    lba: u64,
    blocks: u32,
    /// RDPROTECT, WRPROTECT or ORPROTECT.
    protect: u8,
    /// FUA, or the low bit of BYTCHK.
    flag: bool,
    /// Bytes that the transport expects, beyond or below those of the CDB.
    more: isize,
    byte: u8,
}

fn step() -> impl Strategy<Value = Step> {
    let form = prop::sample::select(FORMS.to_vec());
    let lba = prop_oneof![6 => 0..BLOCKS, 1 => BLOCKS - 1..BLOCKS + 2, 1 => any::<u64>()];
    let blocks = prop_oneof![6 => 0..9_u32, 1 => LONGEST - 1..LONGEST + 2, 1 => any::<u32>()];
    let protect = prop_oneof![9 => Just(0), 1 => 1..8_u8];
    let more = prop_oneof![6 => Just(0), 1 => -600..600_isize, 1 => prop::sample::select(vec![-512, 512, -1, 1])];
    (form, lba, blocks, protect, any::<bool>(), more, 0..4_u8).prop_map(
        |(form, lba, blocks, protect, flag, more, byte)| Step { form, lba, blocks, protect, flag, more, byte },
    )
}

impl Step {
    /// LBA and length as far as the form has room for them; 0 blocks are 256 in the shortest.
    fn range(self) -> (u64, u32) {
        match self.form.1 {
            6 => (self.lba & 0x1f_ffff, if self.blocks & 0xff == 0 { 256 } else { self.blocks & 0xff }),
            10 => (self.lba & 0xffff_ffff, self.blocks & 0xffff),
            12 => (self.lba & 0xffff_ffff, self.blocks),
            _ => (self.lba, self.blocks),
        }
    }

    fn cdb(self) -> Vec<u8> {
        let ((kind, form), (lba, blocks)) = (self.form, self.range());
        let flag = if kind == Kind::WriteAndVerify { 0x02 } else { 0x08 };
        let flags = self.protect << 5 | if self.flag { flag } else { 0 };
        let low = u32::try_from(lba & 0xffff_ffff).unwrap();
        let code = |read, write, verify, or| match kind {
            Kind::Read => read,
            Kind::Write => write,
            Kind::WriteAndVerify => verify,
            Kind::OrWrite => or,
        };
        match form {
            6 => {
                let [_, high, middle, least] = low.to_be_bytes();
                vec![code(0x08, 0x0a, 0, 0), high, middle, least, u8::try_from(blocks & 0xff).unwrap(), 0]
            }
            10 => cdb10(code(0x28, 0x2a, 0x2e, 0), flags, low, u16::try_from(blocks).unwrap()),
            12 => cdb12(code(0xa8, 0xaa, 0xae, 0), flags, low, blocks),
            16 => cdb16(code(0x88, 0x8a, 0x8e, 0x8b), flags, lba, blocks),
            _ => cdb32(code(0x09, 0x0b, 0x0c, 0), flags, lba, blocks),
        }
    }

    /// Bytes that the transport expects. A transfer that is refused for its length needs no more than a few.
    fn expected_len(self) -> usize {
        let named = 512 * usize::try_from(self.range().1.min(LONGEST + 2)).unwrap();
        named.saturating_add_signed(self.more)
    }

    /// Why it is refused, if it is.
    fn refusal(self, read_only: bool) -> Option<(u8, u8, u8)> {
        let (lba, blocks) = self.range();
        let writes = self.form.0 != Kind::Read;
        if self.protect != 0 && self.form.1 != 6 {
            Some(INVALID_FIELD_IN_CDB)
        } else if writes && read_only {
            Some(WRITE_PROTECTED)
        } else if lba.checked_add(u64::from(blocks)).is_none_or(|end| end > BLOCKS) {
            Some(OUT_OF_RANGE)
        } else if blocks > LONGEST {
            Some(INVALID_FIELD_IN_CDB)
        } else if writes && self.expected_len() < blocks as usize * 512 {
            Some(WRONG_EXPECTED_LENGTH)
        } else {
            None
        }
    }

    /// What it makes of the blocks, if it is not refused.
    fn apply(self, model: &mut [u8]) {
        let (lba, blocks) = self.range();
        let at = usize::try_from(lba).unwrap();
        let range = &mut model[at..at + blocks as usize];
        match self.form.0 {
            Kind::Read => {}
            Kind::Write | Kind::WriteAndVerify => range.fill(self.byte),
            Kind::OrWrite => range.iter_mut().for_each(|block| *block |= self.byte),
        }
    }
}

fn blocks_of(model: &[u8]) -> Vec<u8> {
    model.iter().flat_map(|byte| [*byte; 512]).collect()
}

fn check(lun: &Lun, model: &mut [u8], step: Step, read_only: bool) -> Result<(), TestCaseError> {
    let len = step.expected_len();
    let filling = if step.form.0 == Kind::Read { STALE } else { step.byte };
    let ended = lun.run(&step.cdb(), &vec![filling; len]);
    let sense = ended.outcome.sense.map(|sense| (sense.key as u8, sense.asc.0, sense.asc.1));
    prop_assert_eq!(sense, step.refusal(read_only));
    if sense.is_some() {
        return Ok(());
    }
    if step.form.0 == Kind::Read {
        let (lba, blocks) = step.range();
        let at = usize::try_from(lba).unwrap();
        let mut read = blocks_of(&model[at..at + blocks as usize]);
        read.truncate(len);
        prop_assert_eq!(ended.outcome.data_in.map(|n| n as usize), Some(read.len()).filter(|n| *n < len));
        prop_assert_eq!(ended.valid(), read);
    }
    step.apply(model);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn each_form_of_reading_and_writing_does_what_the_rules_say(
        steps in prop::collection::vec(step(), 1..30),
        read_only in prop::sample::select(vec![false, false, false, true]),
    ) {
        let lun = Lun::with(|g| g.read_only = read_only, |config| config.limits.max_transfer = LONGEST * 512);
        let mut model = vec![0; usize::try_from(BLOCKS).unwrap()];
        for step in steps {
            check(&lun, &mut model, step, read_only)?;
        }
        prop_assert_eq!(lun.medium(0, 64), blocks_of(&model));
    }
}
