//! Whatever bytes come: no panic, no stale byte handed out, an outcome that makes sense.

use lunette_backend::Discard;
use lunette_scsi::opcodes::OPCODES;
use proptest::prelude::*;

use crate::copy::{self, copy_cdb};
use crate::lun::{Lun, STALE};

/// CDBs that a table entry would take, with most of their bits at random.
fn likely_cdb() -> impl Strategy<Value = Vec<u8>> {
    let entry = prop::sample::select(OPCODES.iter().collect::<Vec<_>>());
    (entry, prop::collection::vec(any::<u8>(), 32), 0..4_u8).prop_map(|(entry, noise, wildness)| {
        let masked = |(i, mask): (usize, &u8)| match (i, wildness) {
            (0, _) => entry.code,
            (1, _) if entry.action.is_some() && entry.code != 0x7f => *mask,
            (7..=9, _) if entry.code == 0x7f => *mask,
            (_, 0) => noise[i],
            (i, 1) if i < entry.usage.len() - 4 => 0,
            _ => noise[i] & mask,
        };
        entry.usage.iter().enumerate().map(masked).collect()
    })
}

fn data() -> impl Strategy<Value = Vec<u8>> {
    let lengths = || prop_oneof![Just(0_usize), Just(512), Just(1024), Just(24), 0..5000_usize];
    prop_oneof![
        (lengths(), prop::sample::select(vec![STALE, 0, 1])).prop_map(|(len, byte)| vec![byte; len]),
        prop::collection::vec(any::<u8>(), 0..1100),
    ]
}

/// A kind of volume: what discarding does, whether it is read-only, its block size.
type Kind = (Discard, bool, u32);

fn kind() -> impl Strategy<Value = Kind> {
    let discard = prop::sample::select(vec![Discard::Zeroes, Discard::Unspecified, Discard::Unsupported]);
    (discard, any::<bool>(), prop::sample::select(vec![512, 4096]))
}

fn lun((discard, read_only, block_size): Kind) -> Lun {
    Lun::with(|g| (g.discard, g.read_only, g.block_size) = (discard, read_only, block_size), |_| ())
}

fn check(lun: &Lun, cdb: &[u8], data: &[u8]) -> Result<(), TestCaseError> {
    let ended = lun.run(cdb, data);
    let outcome = ended.outcome;
    prop_assert_eq!(outcome.sense.is_some(), outcome.status == 2);
    prop_assert!([0, 2].contains(&outcome.status));
    if let Some(valid) = outcome.data_in {
        prop_assert!(outcome.is_good() && (valid as usize) < data.len());
        prop_assert!(ended.data[valid as usize..].iter().all(|b| *b == 0));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn no_bytes_at_all_make_it_panic(kind in kind(), cdb in prop::collection::vec(any::<u8>(), 0..40), data in data()) {
        check(&lun(kind), &cdb, &data)?;
    }

    #[test]
    fn nor_do_cdbs_that_are_nearly_right(kind in kind(), cdb in likely_cdb(), data in data()) {
        check(&lun(kind), &cdb, &data)?;
    }

    #[test]
    fn mode_lists_of_any_bytes_leave_the_unit_usable(
        kind in kind(),
        list in prop::collection::vec(prop_oneof![Just(0), Just(8), Just(0x0a), Just(0x12), any::<u8>()], 0..60),
        ten in any::<bool>(),
    ) {
        let len = u8::try_from(list.len()).unwrap();
        let cdb = if ten { vec![0x55, 0x10, 0, 0, 0, 0, 0, 0, len, 0] } else { vec![0x15, 0x10, 0, 0, len, 0] };
        let lun = lun(kind);
        check(&lun, &cdb, &list)?;
        prop_assert!(lun.run(&[0; 6], &[]).outcome.is_good());
    }

    #[test]
    fn unmap_lists_of_any_bytes_touch_only_the_volume(kind in kind(), list in prop::collection::vec(any::<u8>(), 0..100)) {
        let cdb = [0x42, 0, 0, 0, 0, 0, 0, 0, u8::try_from(list.len()).unwrap(), 0];
        check(&lun(kind), &cdb, &list)?;
    }

    #[test]
    fn copy_lists_of_nearly_right_bytes_touch_only_the_volume(
        kind in kind(),
        action in prop::sample::select(vec![0_u8, 1, 0x10, 0x11]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        len in 0..700_usize,
    ) {
        let mut list = copy::list(&[(3, 0, 20), (2, 22, 30)]);
        for (at, byte) in changes {
            let at = at.index(list.len());
            list[at] = byte;
        }
        list.resize(len, 0);
        let lun = lun(kind);
        check(&lun, &copy_cdb(action, len), &list)?;
        prop_assert!(lun.run(&[0; 6], &[]).outcome.is_good());
    }
}
