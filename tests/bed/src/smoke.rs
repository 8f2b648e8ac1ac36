//! The bed's own tests: that the ground holds what the tests of Lunette stand on.
//!
//! Nothing of Lunette is in them; a failure here says that the machine or the bed is at fault, not the product.

mod control_plane;
mod iscsi;
mod node;
mod vm;

use crate::runner::Test;

/// All of them.
pub const TESTS: &[Test] = &[
    Test::new("bed::a_guest_has_what_a_node_needs", vm::a_guest_has_what_a_node_needs),
    Test::new("bed::commands_in_a_guest_run_side_by_side", vm::commands_in_a_guest_run_side_by_side).once(),
    Test::new("bed::a_disk_outlives_a_power_cut", vm::a_disk_outlives_a_power_cut).once(),
    Test::new("bed::a_disk_over_an_image_leaves_it_as_it_is", vm::a_disk_over_an_image_leaves_it_as_it_is).once(),
    Test::new("bed::a_guest_can_be_cut_off_and_frozen", vm::a_guest_can_be_cut_off_and_frozen).once(),
    Test::new("bed::two_vms_meet_over_iscsi", iscsi::two_vms_meet_over_iscsi),
    Test::new("bed::the_api_server_knows_who_asks", control_plane::the_api_server_knows_who_asks).once(),
    Test::without_vm("bed::the_api_server_survives_a_restart", control_plane::the_api_server_survives_a_restart),
    // Every test of an installed Lunette runs pods.
    Test::new("bed::a_pod_runs_on_a_node", node::a_pod_runs_on_a_node).once().long(),
    Test::without_vm("bed::an_older_api_is_served_from_the_same_binary", control_plane::an_older_api_is_served),
];
