//! Random reading and writing commands against a vector of blocks, with power cuts in between.

use proptest::prelude::*;

use crate::copy::{self, copy_cdb};
use crate::lun::{Lun, STALE, cdb10, cdb16, swap};
use crate::unmap;

/// Blocks of the volume under test.
const BLOCKS: usize = 64;

#[derive(Clone, Debug)]
enum Step {
    Read { lba: usize, n: usize },
    Write { lba: usize, n: usize, byte: u8, fua: bool },
    WriteSame { lba: usize, n: usize, byte: u8, unmap: bool },
    Unmap { lba: usize, n: usize },
    Swap { lba: usize, n: usize, expected: u8, wanted: u8 },
    OrWrite { lba: usize, n: usize, byte: u8, fua: bool },
    WriteAndVerify { lba: usize, n: usize, byte: u8 },
    WriteAtomic { lba: usize, n: usize, byte: u8 },
    BlockErase,
    Copy { from: usize, to: usize, n: usize },
    Sync,
    PowerCut,
}

fn range_of() -> impl Strategy<Value = (usize, usize)> + Clone {
    (0..BLOCKS, 0..9_usize).prop_map(|(lba, n)| (lba, n.min(BLOCKS - lba)))
}

fn step() -> impl Strategy<Value = Step> {
    let range = range_of();
    let byte = || 0..4_u8;
    let small = (0..BLOCKS - 4, 1..5_usize);
    prop_oneof![
        3 => range.clone().prop_map(|(lba, n)| Step::Read { lba, n }),
        3 => (range.clone(), byte(), any::<bool>())
            .prop_map(|((lba, n), byte, fua)| Step::Write { lba, n, byte, fua }),
        2 => (small.clone(), byte(), any::<bool>())
            .prop_map(|((lba, n), byte, unmap)| Step::WriteSame { lba, n, byte, unmap }),
        2 => range.prop_map(|(lba, n)| Step::Unmap { lba, n }),
        2 => (small, byte(), byte())
            .prop_map(|((lba, n), expected, wanted)| Step::Swap { lba, n, expected, wanted }),
        2 => (range_of(), byte(), any::<bool>()).prop_map(|((lba, n), byte, fua)| Step::OrWrite { lba, n, byte, fua }),
        1 => (range_of(), byte()).prop_map(|((lba, n), byte)| Step::WriteAndVerify { lba, n, byte }),
        1 => (range_of(), byte()).prop_map(|((lba, n), byte)| Step::WriteAtomic { lba, n, byte }),
        1 => Just(Step::BlockErase),
        2 => (0..BLOCKS - 8, 0..BLOCKS - 8, 0..9_usize).prop_map(|(from, to, n)| Step::Copy { from, to, n }),
        1 => Just(Step::Sync),
        1 => Just(Step::PowerCut),
    ]
}

/// What each block holds: one byte, repeated. `durable` lists all that it may hold after a power cut.
struct Model {
    cached: [u8; BLOCKS],
    durable: [u8; BLOCKS],
}

impl Model {
    fn set(&mut self, lba: usize, n: usize, byte: u8, durable: bool) {
        self.cached[lba..lba + n].fill(byte);
        if durable {
            self.durable[lba..lba + n].fill(byte);
        }
    }

    fn expand(&self, lba: usize, n: usize) -> Vec<u8> {
        self.cached[lba..lba + n].iter().flat_map(|byte| [*byte; 512]).collect()
    }
}

fn lba32(lba: usize) -> u32 {
    u32::try_from(lba).unwrap()
}

fn run(lun: &Lun, model: &mut Model, step: &Step) -> Result<(), TestCaseError> {
    match *step {
        Step::Read { lba, n } => {
            let data = lun.data_in(&cdb10(0x28, 0, lba32(lba), u16::try_from(n).unwrap()), n * 512);
            prop_assert_eq!(data, model.expand(lba, n));
        }
        Step::Write { lba, n, byte, fua } => {
            lun.good(&cdb16(0x8a, u8::from(fua) << 3, lba as u64, lba32(n)), &lun.blocks(n, byte));
            model.set(lba, n, byte, fua);
        }
        Step::WriteSame { lba, n, byte, unmap } => {
            lun.good(&cdb16(0x93, u8::from(unmap) << 3, lba as u64, lba32(n)), &lun.blocks(1, byte));
            model.set(lba, n, byte, false);
        }
        Step::Unmap { lba, n } => {
            lun.good(&cdb10(0x42, 0, 0, 24), &unmap::list(&[(lba as u64, lba32(n))]));
            model.set(lba, n, 0, false);
        }
        Step::OrWrite { lba, n, byte, fua } => {
            lun.good(&cdb16(0x8b, u8::from(fua) << 3, lba as u64, lba32(n)), &lun.blocks(n, byte));
            for at in lba..lba + n {
                model.set(at, 1, model.cached[at] | byte, fua);
            }
        }
        Step::WriteAndVerify { lba, n, byte } => {
            lun.good(&cdb16(0x8e, 2, lba as u64, lba32(n)), &lun.blocks(n, byte));
            model.set(lba, n, byte, true);
        }
        Step::WriteAtomic { lba, n, byte } => {
            let cdb = [&[0x9c, 0], &(lba as u64).to_be_bytes()[..], &[0, 0, 0, u8::try_from(n).unwrap(), 0, 0]];
            lun.good(&cdb.concat(), &lun.blocks(n, byte));
            model.set(lba, n, byte, true);
        }
        Step::BlockErase => {
            lun.good(&[0x48, 2, 0, 0, 0, 0, 0, 0, 0, 0], &[]);
            model.set(0, BLOCKS, 0, true);
        }
        Step::Swap { lba, n, expected, wanted } => swap_step(lun, model, (lba, n), (expected, wanted))?,
        Step::Copy { from, to, n } => {
            let list = copy::list(&[(u16::try_from(n).unwrap(), from as u64, to as u64)]);
            lun.good(&copy_cdb(0, list.len()), &list);
            model.cached.copy_within(from..from + n, to);
        }
        Step::Sync => {
            lun.good(&cdb10(0x35, 0, 0, 0), &[]);
            model.durable = model.cached;
        }
        Step::PowerCut => {
            lun.ram.cut_power();
            model.cached = model.durable;
        }
    }
    Ok(())
}

fn swap_step(
    lun: &Lun,
    model: &mut Model,
    (lba, n): (usize, usize),
    (expected, wanted): (u8, u8),
) -> Result<(), TestCaseError> {
    let data = [lun.blocks(n, expected), lun.blocks(n, wanted)].concat();
    let ended = lun.run(&swap(lba as u64, u8::try_from(n).unwrap()), &data);
    match model.cached[lba..lba + n].iter().position(|byte| *byte != expected) {
        None => {
            prop_assert!(ended.outcome.is_good());
            model.set(lba, n, wanted, false);
        }
        Some(block) => {
            let information = ended.outcome.sense.and_then(|sense| sense.information);
            prop_assert_eq!(information, Some(block as u64 * 512));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn the_volume_is_what_the_commands_made_of_it(steps in prop::collection::vec(step(), 1..60)) {
        let lun = Lun::new();
        let mut model = Model { cached: [0; BLOCKS], durable: [0; BLOCKS] };
        for step in &steps {
            run(&lun, &mut model, step)?;
        }
        let whole = lun.run(&cdb10(0x28, 0, 0, 64), &vec![STALE; BLOCKS * 512]);
        prop_assert_eq!(whole.data, model.expand(0, BLOCKS));
    }
}
