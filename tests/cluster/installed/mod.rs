//! Lunette as a user has it: installed by Helm from the chart and the images, on two nodes with kubelets, serving a
//! client outside, and volumes for pods. The tests share one such cluster; the last of them takes Lunette off it again.

mod claims;
mod client;
mod figures;
pub mod gone;
mod groups;
mod modes;
mod oldest;
mod outages;
mod restarts;
mod served;
pub mod site;
mod snapshot_controller;
mod snapshots;
mod volumes;

use lunette_bed::{Context, Result, Test};

/// All of them, in an order that matters for the last one only.
pub const TESTS: &[Test] = &[
    test("installed::a_lun_is_served_by_an_agents_pod", served::a_lun_is_served_by_an_agents_pod),
    test("installed::a_deleted_agents_pod_costs_no_io", served::a_deleted_agents_pod_costs_no_io),
    test("installed::a_rollout_of_the_agents_costs_no_io", served::a_rollout_of_the_agents_costs_no_io),
    test("installed::bytes_follow_a_claim_from_node_to_node", volumes::bytes_follow_a_claim),
    test("installed::a_raw_block_volume_is_a_device", volumes::a_raw_block_volume_is_a_device),
    test("installed::a_volume_grows_under_its_pod_and_without", volumes::a_volume_grows_under_its_pod_and_without),
    test("installed::an_exclusive_claim_has_one_pod", volumes::an_exclusive_claim_has_one_pod),
    test("installed::a_stateful_set_keeps_its_volumes", volumes::a_stateful_set_keeps_its_volumes),
    test("installed::a_deleted_agent_costs_pods_nothing", volumes::a_deleted_agent_costs_pods_nothing),
    test("installed::a_snapshot_comes_back_by_claims", snapshots::a_snapshot_comes_back_by_claims),
    test("installed::a_pool_that_takes_no_snapshots_says_so", snapshots::a_pool_that_takes_none_says_so),
    test("installed::a_group_of_two_nodes_is_of_one_instant", groups::a_group_of_two_nodes_is_of_one_instant),
    test(
        "installed::claims_of_two_nodes_are_snapshotted_together",
        groups::claims_of_two_nodes_are_snapshotted_together,
    ),
    test("installed::an_ephemeral_volume_goes_with_its_pod", modes::an_ephemeral_volume_goes_with_its_pod),
    test("installed::a_claim_that_many_read_is_read_on_two_nodes", modes::a_claim_that_many_read_is_read_on_two_nodes),
    test("installed::a_raw_device_is_shared_by_two_nodes", modes::a_raw_device_is_shared_by_two_nodes),
    test("installed::a_limit_changes_under_a_pod", modes::a_limit_changes_under_a_pod),
    test("installed::helm_test_finds_the_right_disk", volumes::helm_test_finds_the_right_disk),
    test("installed::a_node_that_reboots_keeps_its_volumes", outages::a_node_that_reboots_keeps_its_volumes).long(),
    test("installed::a_node_that_is_cut_off_loses_its_volumes", outages::a_node_that_is_cut_off_loses_its_volumes)
        .long(),
    test("installed::restarts_while_volumes_come_and_go_cost_time_only", restarts::restarts_while_volumes_come_and_go)
        .long(),
    test(
        "installed::restarts_while_volumes_grow_cost_time_only",
        restarts::restarts_while_volumes_grow_and_are_snapshotted,
    )
    .long(),
    test("installed::fifty_claims_at_once_are_bound", figures::fifty_claims_at_once_are_bound).long(),
    test("installed::pods_with_new_volumes_run_soon", figures::pods_with_new_volumes_run_soon).long(),
    test("installed::the_oldest_api_has_volumes", oldest::the_oldest_api_has_volumes).long(),
    test("installed::nothing_is_left_after_an_uninstallation", gone::nothing_is_left),
];

/// What they share is a cluster with pods on two emulated nodes, which keep half a processor busy when nothing happens.
const fn test(name: &'static str, body: fn(&Context) -> Result<()>) -> Test {
    Test::new(name, body).once().in_one_lane()
}
