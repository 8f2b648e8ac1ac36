//! What commands need of a LUN, and what a LUN has.

/// What a LUN must have for a command to be supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing: every LUN has it.
    Nothing,
    /// Storage that can give space back.
    Discard,
    /// Storage that can write several blocks as one.
    Atomic,
    /// Target port groups whose state is reported.
    PortGroups,
    /// Target port groups whose state initiators may set.
    ExplicitPortGroups,
    /// LIO's core, which always answers it for us.
    Core,
    /// LIO's core, where it emulates reservations for this LUN.
    CoreReservations,
}

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

impl Support {
    /// Whether a LUN with these facts has what is needed.
    #[must_use]
    pub fn meets(self, need: Need) -> bool {
        match need {
            Need::Nothing | Need::Core => true,
            Need::Discard => self.discard,
            Need::Atomic => self.atomic,
            Need::PortGroups => self.port_groups,
            Need::ExplicitPortGroups => self.explicit_port_groups,
            Need::CoreReservations => self.reservations,
        }
    }
}
