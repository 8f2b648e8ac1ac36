//! Additional sense codes, by the names of SPC-5 Annex F (table F.1 lists them in numeric order).
//!
//! The clause after each name is where a device server is told to use it.

/// ADDITIONAL SENSE CODE and its qualifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Asc(pub u8, pub u8);

/// NO ADDITIONAL SENSE INFORMATION: REQUEST SENSE has nothing to report (SPC-5 6.39).
pub const NO_ADDITIONAL_SENSE: Asc = Asc(0x00, 0x00);
/// OPERATION IN PROGRESS: the list identifier's results have yet to be asked for (SPC-5 5.17.4.2).
pub const OPERATION_IN_PROGRESS: Asc = Asc(0x00, 0x16);
/// LOGICAL UNIT IS IN PROCESS OF BECOMING READY: the storage is away and expected back (SPC-5 6.47).
pub const BECOMING_READY: Asc = Asc(0x04, 0x01);
/// LOGICAL UNIT NOT READY, FORMAT IN PROGRESS (SBC-4 4.31).
pub const FORMAT_IN_PROGRESS: Asc = Asc(0x04, 0x04);
/// LOGICAL UNIT NOT ACCESSIBLE, TARGET PORT IN UNAVAILABLE STATE: another gateway owns it (SPC-5 5.18.2.4.5).
pub const PORT_UNAVAILABLE: Asc = Asc(0x04, 0x0c);
/// LOGICAL UNIT NOT READY, SANITIZE IN PROGRESS (SBC-4 4.11.2).
pub const SANITIZE_IN_PROGRESS: Asc = Asc(0x04, 0x1b);
/// UNREACHABLE COPY TARGET: a segment names no device (SPC-5 5.17.7.4).
pub const UNREACHABLE_COPY_TARGET: Asc = Asc(0x08, 0x04);
/// WRITE ERROR: the medium did not take the data (SBC-4 4.18).
pub const WRITE_ERROR: Asc = Asc(0x0c, 0x00);
/// THIRD PARTY DEVICE FAILURE: the storage failed in the midst of a copy (SPC-5 5.17.7.4).
pub const THIRD_PARTY_DEVICE_FAILURE: Asc = Asc(0x0d, 0x01);
/// COPY TARGET DEVICE NOT REACHABLE: a copy that involves another unit (SPC-5 5.17.7.4).
pub const COPY_TARGET_NOT_REACHABLE: Asc = Asc(0x0d, 0x02);
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
/// INVALID TOKEN OPERATION, UNSUPPORTED TOKEN TYPE (SPC-5 5.17.6.5).
pub const UNSUPPORTED_TOKEN_TYPE: Asc = Asc(0x23, 0x01);
/// INVALID TOKEN OPERATION, REMOTE TOKEN USAGE NOT SUPPORTED: another unit's token (SPC-5 5.17.6.5).
pub const REMOTE_TOKEN_NOT_SUPPORTED: Asc = Asc(0x23, 0x02);
/// INVALID TOKEN OPERATION, TOKEN UNKNOWN (SPC-5 5.17.6.5).
pub const TOKEN_UNKNOWN: Asc = Asc(0x23, 0x04);
/// INVALID TOKEN OPERATION, TOKEN CORRUPT (SPC-5 5.17.6.5).
pub const TOKEN_CORRUPT: Asc = Asc(0x23, 0x05);
/// INVALID TOKEN OPERATION, TOKEN REVOKED: its data were written to (SPC-5 5.17.6.5).
pub const TOKEN_REVOKED: Asc = Asc(0x23, 0x06);
/// INVALID TOKEN OPERATION, TOKEN EXPIRED (SPC-5 5.17.6.5).
pub const TOKEN_EXPIRED: Asc = Asc(0x23, 0x07);
/// INVALID TOKEN OPERATION, INVALID TOKEN LENGTH (SPC-5 5.17.6.5).
pub const INVALID_TOKEN_LENGTH: Asc = Asc(0x23, 0x0a);
/// INVALID FIELD IN CDB (SPC-5 4.3.1).
pub const INVALID_FIELD_IN_CDB: Asc = Asc(0x24, 0x00);
/// INVALID FIELD IN PARAMETER LIST (SPC-5 4.2.5.5).
pub const INVALID_FIELD_IN_PARAMETER_LIST: Asc = Asc(0x26, 0x00);
/// TOO MANY TARGET DESCRIPTORS: CSCD descriptors, by their older name (SPC-5 5.17.7.1).
pub const TOO_MANY_TARGET_DESCRIPTORS: Asc = Asc(0x26, 0x06);
/// UNSUPPORTED TARGET DESCRIPTOR TYPE CODE (SPC-5 6.6.5.1).
pub const UNSUPPORTED_TARGET_DESCRIPTOR: Asc = Asc(0x26, 0x07);
/// TOO MANY SEGMENT DESCRIPTORS (SPC-5 5.17.7.1).
pub const TOO_MANY_SEGMENT_DESCRIPTORS: Asc = Asc(0x26, 0x08);
/// UNSUPPORTED SEGMENT DESCRIPTOR TYPE CODE (SPC-5 6.6.6.1).
pub const UNSUPPORTED_SEGMENT_DESCRIPTOR: Asc = Asc(0x26, 0x09);
/// INLINE DATA LENGTH EXCEEDED (SPC-5 6.6.3.8).
pub const INLINE_DATA_LENGTH_EXCEEDED: Asc = Asc(0x26, 0x0b);
/// WRITE PROTECTED (SBC-4 4.12).
pub const WRITE_PROTECTED: Asc = Asc(0x27, 0x00);
/// SOFTWARE WRITE PROTECTED: the SWP bit of the control mode page is set (SPC-5 7.5.10).
pub const SOFTWARE_WRITE_PROTECTED: Asc = Asc(0x27, 0x02);
/// SPACE ALLOCATION FAILED WRITE PROTECT: thin provisioning ran out (SBC-4 4.7.3.6).
pub const SPACE_ALLOCATION_FAILED: Asc = Asc(0x27, 0x07);
/// CAPACITY DATA HAS CHANGED (SBC-4 4.10).
pub const CAPACITY_CHANGED: Asc = Asc(0x2a, 0x09);
/// COMMAND SEQUENCE ERROR: nothing was written to the echo buffer yet (SPC-5 6.18.6).
pub const COMMAND_SEQUENCE_ERROR: Asc = Asc(0x2c, 0x00);
/// SANITIZE COMMAND FAILED: only another attempt is served (SBC-4 4.11.4).
pub const SANITIZE_COMMAND_FAILED: Asc = Asc(0x31, 0x03);
/// SAVING PARAMETERS NOT SUPPORTED (SPC-5 6.14.1).
pub const SAVING_PARAMETERS_NOT_SUPPORTED: Asc = Asc(0x39, 0x00);
/// LOGICAL UNIT FAILED SELF-TEST (SPC-5 5.14.2).
pub const FAILED_SELF_TEST: Asc = Asc(0x3e, 0x03);
/// INTERNAL TARGET FAILURE: a fault of our own (SAM-5 5.8.6).
pub const INTERNAL_TARGET_FAILURE: Asc = Asc(0x44, 0x00);
/// INSUFFICIENT RESOURCES TO CREATE ROD TOKEN (SPC-5 5.17.6.3).
pub const INSUFFICIENT_RESOURCES_FOR_TOKEN: Asc = Asc(0x55, 0x0d);
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
            (OPERATION_IN_PROGRESS, 0x0016),
            (BECOMING_READY, 0x0401),
            (FORMAT_IN_PROGRESS, 0x0404),
            (PORT_UNAVAILABLE, 0x040c),
            (SANITIZE_IN_PROGRESS, 0x041b),
            (UNREACHABLE_COPY_TARGET, 0x0804),
            (WRITE_ERROR, 0x0c00),
            (THIRD_PARTY_DEVICE_FAILURE, 0x0d01),
            (COPY_TARGET_NOT_REACHABLE, 0x0d02),
            (INVALID_FIELD_IN_COMMAND_IU, 0x0e03),
            (UNRECOVERED_READ_ERROR, 0x1100),
            (PARAMETER_LIST_LENGTH_ERROR, 0x1a00),
            (MISCOMPARE, 0x1d00),
            (INVALID_OPERATION_CODE, 0x2000),
            (LBA_OUT_OF_RANGE, 0x2100),
            (UNSUPPORTED_TOKEN_TYPE, 0x2301),
            (REMOTE_TOKEN_NOT_SUPPORTED, 0x2302),
            (TOKEN_UNKNOWN, 0x2304),
            (TOKEN_CORRUPT, 0x2305),
            (TOKEN_REVOKED, 0x2306),
            (TOKEN_EXPIRED, 0x2307),
            (INVALID_TOKEN_LENGTH, 0x230a),
            (INVALID_FIELD_IN_CDB, 0x2400),
            (INVALID_FIELD_IN_PARAMETER_LIST, 0x2600),
            (TOO_MANY_TARGET_DESCRIPTORS, 0x2606),
            (UNSUPPORTED_TARGET_DESCRIPTOR, 0x2607),
            (TOO_MANY_SEGMENT_DESCRIPTORS, 0x2608),
            (UNSUPPORTED_SEGMENT_DESCRIPTOR, 0x2609),
            (INLINE_DATA_LENGTH_EXCEEDED, 0x260b),
            (WRITE_PROTECTED, 0x2700),
            (SOFTWARE_WRITE_PROTECTED, 0x2702),
            (SPACE_ALLOCATION_FAILED, 0x2707),
            (CAPACITY_CHANGED, 0x2a09),
            (COMMAND_SEQUENCE_ERROR, 0x2c00),
            (SANITIZE_COMMAND_FAILED, 0x3103),
            (SAVING_PARAMETERS_NOT_SUPPORTED, 0x3900),
            (FAILED_SELF_TEST, 0x3e03),
            (INTERNAL_TARGET_FAILURE, 0x4400),
            (INSUFFICIENT_RESOURCES_FOR_TOKEN, 0x550d),
            (SET_TARGET_PORT_GROUPS_FAILED, 0x670a),
        ];
        for (asc, number) in published {
            assert_eq!(u16::from_be_bytes([asc.0, asc.1]), number, "{asc:?}");
        }
    }
}
