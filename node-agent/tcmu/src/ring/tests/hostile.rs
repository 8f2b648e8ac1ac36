//! A kernel that writes whatever it likes, at random.

use proptest::prelude::*;

use crate::mock::hostile::{STEP, play};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn nothing_that_a_kernel_writes_is_believed(steps in prop::collection::vec(any::<[u8; STEP]>(), 1..50)) {
        play(steps);
    }
}
