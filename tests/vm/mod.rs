//! The agent on a real kernel, fed from a directory of manifests: what an initiator in a second VM sees.
//!
//! No Kubernetes here. Each file is about one promise; [`site`] is what they all stand on.

mod basics;
mod site;

use lunette_bed::Test;

/// All of them.
pub const TESTS: &[Test] = &[Test::new("vm::a_lun_comes_grows_and_goes", basics::a_lun_comes_grows_and_goes)];
