//! What a LUN has that not all have, and that some commands need.

/// Facts that decide which commands are supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Support {
    /// Whether the storage can give space back.
    pub discard: bool,
    /// Whether the storage can write several blocks as one.
    pub atomic: bool,
    /// Whether LIO's core answers reservations.
    pub reservations: bool,
    /// Whether the state of target port groups is reported.
    pub port_groups: bool,
    /// Whether initiators may set it.
    pub explicit_port_groups: bool,
}
