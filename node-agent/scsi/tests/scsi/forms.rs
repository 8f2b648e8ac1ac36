//! Every form of reading and writing, with any LBA, length, flags and expected transfer length: what each comes to is
//! told by the rules of `docs/reference/scsi.md` ([`crate::oracle`]), in the order in which the standards have them checked.

use proptest::prelude::*;

use crate::lun::{Lun, STALE, cdb10, cdb12, cdb16, cdb32};
use crate::oracle::{Kind, Volume};

/// Blocks of the volume, and of the longest transfer.
const BLOCKS: u64 = 64;
const LONGEST: u32 = 32;

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
            _ => or,
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
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn each_form_of_reading_and_writing_does_what_the_rules_say(
        steps in prop::collection::vec(step(), 1..30),
        read_only in prop::sample::select(vec![false, false, false, true]),
    ) {
        let lun = Lun::with(|g| g.read_only = read_only, |config| config.limits.max_transfer = LONGEST * 512);
        let mut volume = Volume::of(&lun, LONGEST as usize * 512);
        for step in steps {
            let filling = if step.form.0 == Kind::Read { STALE } else { step.byte };
            volume.run(&lun, &step.cdb(), &vec![filling; step.expected_len()]);
        }
    }
}
