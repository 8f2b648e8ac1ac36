//! The layout of the shared memory, as numbers.
//!
//! Offsets of `struct tcmu_mailbox`, `tcmu_cmd_entry_hdr`, `tcmu_cmd_entry` and `tcmu_tmr_entry` in
//! `include/uapi/linux/target_core_user.h` (64-bit), and the CDB length table of
//! `drivers/scsi/scsi_common.c`, which is part of the contract although the header does not say so:
//! the ring never carries a CDB's length. Integers are in the machine's byte order.

/// `TCMU_MAILBOX_VERSION`. The kernel's design document still says 1.
pub const MAILBOX_VERSION: u16 = 2;

/// `struct tcmu_mailbox`.
pub mod mailbox {
    pub const VERSION: usize = 0;
    pub const FLAGS: usize = 2;
    pub const CMDR_OFF: usize = 4;
    pub const CMDR_SIZE: usize = 8;
    /// Written by the kernel with a store-release.
    pub const CMD_HEAD: usize = 12;
    /// Written by us; alone on its cache line.
    pub const CMD_TAIL: usize = 64;
    pub const SIZE: usize = 128;
}

/// `TCMU_MAILBOX_FLAG_CAP_*`.
pub mod capability {
    pub const OUT_OF_ORDER: u16 = 1;
    pub const READ_LEN: u16 = 2;
    pub const TMR: u16 = 4;
    pub const KEEP_BUF: u16 = 8;
}

/// `struct tcmu_cmd_entry_hdr`.
pub mod header {
    pub const LEN_OP: usize = 0;
    pub const CMD_ID: usize = 4;
    pub const UFLAGS: usize = 7;
    /// Low bits of `len_op`; the rest is the length, a multiple of eight.
    pub const OP_MASK: u32 = 7;
}

/// `enum tcmu_opcode`.
pub mod op {
    pub const PAD: u32 = 0;
    pub const CMD: u32 = 1;
    pub const TMR: u32 = 2;
}

/// `TCMU_UFLAG_*`.
pub mod uflag {
    pub const UNKNOWN_OP: u8 = 1;
    pub const READ_LEN: u8 = 2;
    pub const KEEP_BUF: u8 = 4;
}

/// `struct tcmu_cmd_entry`, request and response; they overlay each other.
pub mod command {
    pub const IOV_CNT: usize = 8;
    pub const IOV_BIDI_CNT: usize = 12;
    pub const CDB_OFF: usize = 24;
    pub const IOV: usize = 48;
    /// One `struct iovec`: base (an offset into the mapping), then length.
    pub const IOV_SIZE: usize = 16;
    pub const STATUS: usize = 8;
    pub const READ_LEN: usize = 12;
    pub const SENSE: usize = 16;
    /// `sizeof(struct tcmu_cmd_entry)`: no command's entry is shorter.
    pub const SIZE: u32 = 112;
}

/// `struct tcmu_tmr_entry`.
pub mod tmr {
    pub const TYPE: usize = 8;
    pub const CMD_CNT: usize = 12;
    pub const CMD_IDS: usize = 32;
    pub const SIZE: u32 = 32;
}

/// Bytes of sense data in a response (`TCMU_SENSE_BUFFERSIZE`).
pub const SENSE_SIZE: usize = 96;

/// The longest CDB that LIO lets through, in bytes (`SCSI_MAX_VARLEN_CDB_SIZE`, include/scsi/scsi_proto.h).
pub const MAX_CDB: usize = 260;

/// The operation code whose CDB says its own length (SPC-4, variable length CDBs).
const VARIABLE_LENGTH: u8 = 0x7f;

/// `scsi_command_size_tbl`: bytes by group code, the top three bits of the operation code.
const SIZE_BY_GROUP: [usize; 8] = [6, 10, 10, 12, 16, 12, 10, 10];

/// Length in bytes of the CDB that starts with `first`, by `scsi_command_size` of
/// include/scsi/scsi_common.h: up to 263, of which LIO lets [`MAX_CDB`] through.
pub fn cdb_len(first: [u8; 8]) -> usize {
    match first[0] {
        VARIABLE_LENGTH => usize::from(first[7]) + 8,
        opcode => SIZE_BY_GROUP[usize::from(opcode >> 5)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_has_its_length() {
        let groups = [(0x00, 6), (0x28, 10), (0x5f, 10), (0x60, 12), (0x88, 16), (0xa8, 12), (0xc0, 10), (0xff, 10)];
        for (opcode, len) in groups {
            assert_eq!(cdb_len([opcode, 0, 0, 0, 0, 0, 0, 0xff]), len, "operation code {opcode:#04x}");
        }
    }

    #[test]
    fn a_variable_length_cdb_says_its_own() {
        assert_eq!(cdb_len([0x7f, 0, 0, 0, 0, 0, 0, 24]), 32);
        assert_eq!(cdb_len([0x7f, 0, 0, 0, 0, 0, 0, 252]), MAX_CDB);
        assert_eq!(cdb_len([0x7f, 0, 0, 0, 0, 0, 0, 255]), 263);
    }
}
