//! Entries of a ring whose kernel writes whatever it likes.

use lunette_tcmu::mock::hostile::{self, STEP};

/// Each twelve bytes are a step of the kernel or of the agent.
pub fn play(bytes: &[u8]) {
    let (steps, _) = bytes.as_chunks::<STEP>();
    hostile::play(steps.iter().copied());
}
