//! Lunette as a user has it: installed by Helm from the chart and the images, on two nodes with kubelets, serving a
//! client outside. The tests share one such cluster; the last of them takes Lunette off it again.

mod client;
mod gone;
mod served;
pub mod site;

use lunette_bed::Test;

/// All of them, in an order that matters for the last one only.
pub const TESTS: &[Test] = &[
    Test::new("installed::a_lun_is_served_by_an_agents_pod", served::a_lun_is_served_by_an_agents_pod).once(),
    Test::new("installed::a_deleted_agents_pod_costs_no_io", served::a_deleted_agents_pod_costs_no_io).once(),
    Test::new("installed::a_rollout_of_the_agents_costs_no_io", served::a_rollout_of_the_agents_costs_no_io).once(),
    Test::new("installed::nothing_is_left_after_an_uninstallation", gone::nothing_is_left).once(),
];
