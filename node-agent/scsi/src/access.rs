//! How a logical unit can be reached: its target ports, and the state of the group that they form
//! (asymmetric logical unit access, SPC-5 5.18.2). Facts that the fabric has; nothing here changes them.
//!
//! One group holds every port: a unit is served by one gateway at a time, so that all of its ports are
//! alike.

/// All that is known of the ways to a logical unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The group that all ports belong to.
    pub group: PortGroup,
    /// The ports, in the order of their relative identifiers.
    pub ports: Vec<TargetPort>,
}

/// A target port group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortGroup {
    /// TARGET PORT GROUP.
    pub id: u16,
    /// The state that it is in.
    pub state: AccessState,
    /// The states that it can be in.
    pub supported: Vec<AccessState>,
    /// PREF: whether its ports had better be used.
    pub preferred: bool,
    /// Whether its state may change by itself (TPGS bit 0).
    pub implicit: bool,
    /// Whether SET TARGET PORT GROUPS is taken (TPGS bit 1).
    pub explicit: bool,
    /// IMPLICIT TRANSITION TIME in seconds; zero where it is not known.
    pub transition_seconds: u8,
}

/// ASYMMETRIC ACCESS STATE (SPC-5 table 271).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "the variants are the states of SPC-5, by their names")]
pub enum AccessState {
    ActiveOptimized = 0x0,
    ActiveNonOptimized = 0x1,
    Standby = 0x2,
    Unavailable = 0x3,
    LbaDependent = 0x4,
    Offline = 0xe,
    Transitioning = 0xf,
}

/// One target port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetPort {
    /// RELATIVE TARGET PORT IDENTIFIER.
    pub relative_id: u16,
    /// The port's SCSI name string (RFC 7143 4.2.7.1: the target's name, `,t,0x` and the tag in hexadecimal
    /// digits); empty for a port that has none.
    pub name: String,
}

/// Every state, in the order of the codes.
const STATES: [AccessState; 7] = [
    AccessState::ActiveOptimized,
    AccessState::ActiveNonOptimized,
    AccessState::Standby,
    AccessState::Unavailable,
    AccessState::LbaDependent,
    AccessState::Offline,
    AccessState::Transitioning,
];

impl AccessState {
    /// The state of a code, if it is one.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        STATES.into_iter().find(|state| *state as u8 == code)
    }

    /// The bit that says in REPORT TARGET PORT GROUPS that it is supported (SPC-5 table 270).
    fn bit(self) -> u8 {
        match self {
            Self::ActiveOptimized => 0x01,
            Self::ActiveNonOptimized => 0x02,
            Self::Standby => 0x04,
            Self::Unavailable => 0x08,
            Self::LbaDependent => 0x10,
            Self::Offline => 0x40,
            Self::Transitioning => 0x80,
        }
    }
}

impl PortGroup {
    /// TPGS (SPC-5 table 147).
    pub(crate) fn tpgs(&self) -> u8 {
        u8::from(self.explicit) << 1 | u8::from(self.implicit)
    }

    /// The supported states, as REPORT TARGET PORT GROUPS has them.
    pub(crate) fn supported_bits(&self) -> u8 {
        self.supported.iter().fold(0, |bits, state| bits | state.bit())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_bits_of_states_are_those_of_the_standard() {
        for (code, bit) in [(0, 0x01), (1, 0x02), (2, 0x04), (3, 0x08), (4, 0x10), (0xe, 0x40), (0xf, 0x80)] {
            assert_eq!(AccessState::from_code(code).map(AccessState::bit), Some(bit), "{code:x}");
        }
        assert!((5..0xe).all(|code| AccessState::from_code(code).is_none()));
    }
}
