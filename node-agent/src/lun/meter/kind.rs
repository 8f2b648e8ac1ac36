//! What a command does to the LUN, told from its operation code alone.

/// What a command does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Reads the medium for the initiator.
    Read,
    /// Writes the medium, with data of the initiator.
    Write,
    /// Gives space back.
    Discard,
    /// Makes what was written durable.
    Flush,
    /// Reads the medium for a comparison.
    Verify,
    /// Anything else: what the device is, what state it is in.
    Other,
}

/// All kinds, by number, with the names that metrics give them.
pub const KINDS: [(Kind, &str); 6] = [
    (Kind::Read, "read"),
    (Kind::Write, "write"),
    (Kind::Discard, "discard"),
    (Kind::Flush, "flush"),
    (Kind::Verify, "verify"),
    (Kind::Other, "other"),
];

impl Kind {
    /// The kind of a command (operation codes: SBC-4 annex E; those of 7Fh have a service action, SPC-5 4.2.4).
    #[inline]
    pub fn of(cdb: &[u8]) -> Self {
        match cdb.first() {
            Some(0x7f) => Self::of_service_action(cdb),
            Some(code) => BY_CODE[usize::from(*code)],
            None => Self::Other,
        }
    }

    fn of_service_action(cdb: &[u8]) -> Self {
        match (cdb.get(8), cdb.get(9)) {
            (Some(0), Some(0x09)) => Self::Read,
            // WRITE, WRITE AND VERIFY, WRITE SAME, ORWRITE, all with 32 bytes.
            (Some(0), Some(0x0b..=0x0e)) => Self::Write,
            (Some(0), Some(0x0a)) => Self::Verify,
            _ => Self::Other,
        }
    }
}

const BY_CODE: [Kind; 256] = by_code();

const fn by_code() -> [Kind; 256] {
    let mut kinds = [Kind::Other; 256];
    let mut code = 0;
    while code < 256 {
        kinds[code] = match code {
            0x08 | 0x28 | 0xa8 | 0x88 => Kind::Read,
            // WRITE; WRITE AND VERIFY; WRITE SAME; COMPARE AND WRITE, ORWRITE, WRITE ATOMIC.
            0x0a | 0x2a | 0xaa | 0x8a | 0x2e | 0xae | 0x8e | 0x41 | 0x93 | 0x89 | 0x8b | 0x9c => Kind::Write,
            0x42 => Kind::Discard,
            0x35 | 0x91 => Kind::Flush,
            0x2f | 0xaf | 0x8f => Kind::Verify,
            _ => Kind::Other,
        };
        code += 1;
    }
    kinds
}
