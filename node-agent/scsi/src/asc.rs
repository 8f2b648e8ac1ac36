//! Additional sense codes, by the names of SPC-5 Annex F (table F.1 lists them in numeric order).
//!
//! The clause after each name is where a device server is told to use it.

/// ADDITIONAL SENSE CODE and its qualifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Asc(pub u8, pub u8);

/// NO ADDITIONAL SENSE INFORMATION: REQUEST SENSE has nothing to report (SPC-5 6.39).
pub const NO_ADDITIONAL_SENSE: Asc = Asc(0x00, 0x00);
/// LOGICAL UNIT IS IN PROCESS OF BECOMING READY: the storage is away and expected back (SPC-5 6.47).
pub const BECOMING_READY: Asc = Asc(0x04, 0x01);
/// LOGICAL UNIT NOT ACCESSIBLE, TARGET PORT IN UNAVAILABLE STATE: another gateway owns it (SPC-5 5.18.2.4.5).
pub const PORT_UNAVAILABLE: Asc = Asc(0x04, 0x0c);
/// WRITE ERROR: the medium did not take the data (SBC-4 4.18).
pub const WRITE_ERROR: Asc = Asc(0x0c, 0x00);
/// INVALID FIELD IN COMMAND INFORMATION UNIT: the expected length contradicts the CDB (SAM-5 5.4.3).
pub const INVALID_FIELD_IN_COMMAND_IU: Asc = Asc(0x0e, 0x03);
/// UNRECOVERED READ ERROR: the medium did not give the data (SBC-4 4.18).
pub const UNRECOVERED_READ_ERROR: Asc = Asc(0x11, 0x00);
/// PARAMETER LIST LENGTH ERROR: a list ends within a header or page (SPC-5 4.2.5.5).
pub const PARAMETER_LIST_LENGTH_ERROR: Asc = Asc(0x1a, 0x00);
/// MISCOMPARE DURING VERIFY OPERATION (SBC-4 5.3 and 5.33).
pub const MISCOMPARE: Asc = Asc(0x1d, 0x00);
/// INVALID COMMAND OPERATION CODE (SPC-5 4.3.2).
pub const INVALID_OPERATION_CODE: Asc = Asc(0x20, 0x00);
/// LOGICAL BLOCK ADDRESS OUT OF RANGE (SBC-4 4.5).
pub const LBA_OUT_OF_RANGE: Asc = Asc(0x21, 0x00);
/// INVALID FIELD IN CDB (SPC-5 4.3.1).
pub const INVALID_FIELD_IN_CDB: Asc = Asc(0x24, 0x00);
/// INVALID FIELD IN PARAMETER LIST (SPC-5 4.2.5.5).
pub const INVALID_FIELD_IN_PARAMETER_LIST: Asc = Asc(0x26, 0x00);
/// WRITE PROTECTED (SBC-4 4.12).
pub const WRITE_PROTECTED: Asc = Asc(0x27, 0x00);
/// SOFTWARE WRITE PROTECTED: the SWP bit of the control mode page is set (SPC-5 7.5.10).
pub const SOFTWARE_WRITE_PROTECTED: Asc = Asc(0x27, 0x02);
/// SPACE ALLOCATION FAILED WRITE PROTECT: thin provisioning ran out (SBC-4 4.7.3.6).
pub const SPACE_ALLOCATION_FAILED: Asc = Asc(0x27, 0x07);
/// CAPACITY DATA HAS CHANGED (SBC-4 4.10).
pub const CAPACITY_CHANGED: Asc = Asc(0x2a, 0x09);
/// SAVING PARAMETERS NOT SUPPORTED (SPC-5 6.14.1).
pub const SAVING_PARAMETERS_NOT_SUPPORTED: Asc = Asc(0x39, 0x00);
/// LOGICAL UNIT FAILED SELF-TEST (SPC-5 5.14.2).
pub const FAILED_SELF_TEST: Asc = Asc(0x3e, 0x03);
/// INTERNAL TARGET FAILURE: a fault of our own (SAM-5 5.8.6).
pub const INTERNAL_TARGET_FAILURE: Asc = Asc(0x44, 0x00);
/// SET TARGET PORT GROUPS COMMAND FAILED: the state is one that the unit can be in, but not by its own doing
/// (SPC-5 6.45).
pub const SET_TARGET_PORT_GROUPS_FAILED: Asc = Asc(0x67, 0x0a);

#[cfg(test)]
mod tests {
    use super::*;

    /// T10's published list (asc-num.txt), typed anew rather than derived from the constants.
    #[test]
    fn codes_are_those_that_t10_published() {
        let published = [
            (NO_ADDITIONAL_SENSE, 0x0000),
            (BECOMING_READY, 0x0401),
            (PORT_UNAVAILABLE, 0x040c),
            (WRITE_ERROR, 0x0c00),
            (INVALID_FIELD_IN_COMMAND_IU, 0x0e03),
            (UNRECOVERED_READ_ERROR, 0x1100),
            (PARAMETER_LIST_LENGTH_ERROR, 0x1a00),
            (MISCOMPARE, 0x1d00),
            (INVALID_OPERATION_CODE, 0x2000),
            (LBA_OUT_OF_RANGE, 0x2100),
            (INVALID_FIELD_IN_CDB, 0x2400),
            (INVALID_FIELD_IN_PARAMETER_LIST, 0x2600),
            (WRITE_PROTECTED, 0x2700),
            (SOFTWARE_WRITE_PROTECTED, 0x2702),
            (SPACE_ALLOCATION_FAILED, 0x2707),
            (CAPACITY_CHANGED, 0x2a09),
            (SAVING_PARAMETERS_NOT_SUPPORTED, 0x3900),
            (FAILED_SELF_TEST, 0x3e03),
            (INTERNAL_TARGET_FAILURE, 0x4400),
            (SET_TARGET_PORT_GROUPS_FAILED, 0x670a),
        ];
        for (asc, number) in published {
            assert_eq!(u16::from_be_bytes([asc.0, asc.1]), number, "{asc:?}");
        }
    }
}
