//! The agent on a real kernel, fed from a directory of manifests: what an initiator in a second VM sees.
//!
//! No Kubernetes here. Each file is about one promise; [`site`] and [`initiator`] are what they all stand on.

mod basics;
mod crashes;
mod initiator;
mod manifest;
mod site;

use lunette_bed::Test;

/// All of them.
pub const TESTS: &[Test] = &[
    Test::new("vm::a_lun_comes_grows_and_goes", basics::a_lun_comes_grows_and_goes),
    Test::new("vm::io_survives_crashes_of_the_agent", crashes::io_survives_crashes_of_the_agent),
];
