//! READ DEFECT DATA, and PREVENT ALLOW MEDIUM REMOVAL: of a medium without defects that stays where it is.

use crate::lun::{INVALID_FIELD_IN_CDB, Lun, STALE};

#[test]
fn there_are_no_defects_in_any_format() {
    let lun = Lun::new();
    for format in 0..6 {
        let ten = [0x37, 0, 0x18 | format, 0, 0, 0, 0, 0, 64, 0];
        assert_eq!(lun.data_in(&ten, 64), [0, 0x18 | format, 0, 0]);
        let twelve = [0xb7, 0x10 | format, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0];
        assert_eq!(lun.data_in(&twelve, 64), [0, 0x10 | format, 0, 0, 0, 0, 0, 0]);
    }
    for format in [6, 7] {
        assert_eq!(lun.check(&[0x37, 0, format, 0, 0, 0, 0, 0, 64, 0], &[STALE; 64]), INVALID_FIELD_IN_CDB);
    }
}

#[test]
fn removal_may_be_prevented_and_allowed_to_no_effect() {
    let lun = Lun::new();
    for prevent in [0, 1] {
        lun.good(&[0x1e, 0, 0, 0, prevent, 0], &[]);
    }
    for obsolete in [2, 3] {
        assert_eq!(lun.check(&[0x1e, 0, 0, 0, obsolete, 0], &[]), INVALID_FIELD_IN_CDB);
    }
}
