//! The API and the operator against a real API server: schemas, CEL rules, admission policies, RBAC, and a
//! real operator process that is killed, replaced, contradicted and starved of nodes.
//!
//! Most tests boot no VM. Their agents are played by the tests, with the agents' own ServiceAccount and tokens, so
//! that what an agent may write is proved on the way.

mod agent;
mod attach;
pub mod charts;
mod crashes;
mod csi;
mod deletion;
pub mod installed;
mod node;
mod operator;
mod placement;
mod policies;
mod refusals;
mod served;
mod site;
mod users;

use lunette_bed::Kernel::{V6_1, V6_12};
use lunette_bed::Test;

/// All of them.
pub const TESTS: &[Test] = &[
    Test::without_vm("cluster::the_examples_are_accepted", refusals::the_examples_are_accepted),
    Test::without_vm("cluster::a_lun_that_cannot_be_is_refused", refusals::a_lun_that_cannot_be_is_refused),
    Test::without_vm("cluster::a_change_that_breaks_a_promise_is_refused", refusals::a_change_that_breaks_a_promise),
    Test::without_vm("cluster::a_pool_that_cannot_be_is_refused", refusals::a_pool_that_cannot_be_is_refused),
    Test::without_vm("cluster::an_agent_writes_its_own_node_only", policies::an_agent_writes_its_own_node_only),
    Test::without_vm("cluster::an_agent_writes_its_own_luns_only", policies::an_agent_writes_its_own_luns_only),
    Test::without_vm(
        "cluster::an_agent_writes_its_own_snapshots_only",
        policies::an_agent_writes_its_own_snapshots_only,
    ),
    Test::without_vm(
        "cluster::the_operator_grants_named_secrets_only",
        policies::the_operator_grants_named_secrets_only,
    ),
    Test::without_vm("cluster::a_pool_keeps_other_namespaces_out", policies::a_pool_keeps_other_namespaces_out),
    Test::without_vm("cluster::a_user_reaches_what_is_hers_only", users::a_user_reaches_what_is_hers_only),
    Test::without_vm("cluster::a_lun_is_placed_and_served", placement::a_lun_is_placed_and_served),
    Test::without_vm("cluster::the_oldest_api_serves_as_well", placement::the_oldest_api_serves_as_well),
    Test::without_vm("cluster::nothing_is_written_while_nothing_changes", placement::nothing_is_written),
    Test::without_vm("cluster::a_lun_without_a_node_says_why", placement::a_lun_without_a_node_says_why),
    Test::without_vm("cluster::what_another_hand_writes_is_put_back", placement::what_another_hand_writes_is_put_back),
    Test::without_vm("cluster::a_node_that_vanishes_is_noticed", placement::a_node_that_vanishes_is_noticed),
    Test::without_vm("cluster::a_malformed_object_stops_nothing", placement::a_malformed_object_stops_nothing),
    Test::without_vm("cluster::a_deleted_lun_waits_for_its_agent", deletion::a_deleted_lun_waits_for_its_agent),
    Test::without_vm("cluster::a_deleted_lun_can_be_given_up", deletion::a_deleted_lun_can_be_given_up),
    Test::without_vm("cluster::a_pool_in_use_does_not_go", deletion::a_pool_in_use_does_not_go),
    Test::without_vm("cluster::an_operator_killed_anywhere_goes_on", crashes::an_operator_killed_anywhere_goes_on),
    Test::without_vm("cluster::of_two_operators_one_writes", crashes::of_two_operators_one_writes),
    Test::without_vm(
        "cluster::an_operator_without_an_api_server_stops_and_comes_back",
        crashes::an_operator_without_an_api_server_stops_and_comes_back,
    ),
    Test::new(
        "cluster::a_lun_is_a_disk_of_the_nodes_that_it_lists",
        attach::a_lun_is_a_disk_of_the_nodes_that_it_lists,
    )
    .mostly_on(V6_1),
    Test::without_vm("cluster::csi_writes_its_own_only", csi::csi_writes_its_own_only),
    Test::without_vm("cluster::a_volume_lives_from_claim_to_deletion", csi::a_volume_lives_from_claim_to_deletion),
    Test::without_vm("cluster::csi_sanity_finds_no_fault", csi::csi_sanity_finds_no_fault).long(),
    Test::new("cluster::csi_sanity_finds_no_fault_on_a_node", csi::csi_sanity_finds_no_fault_on_a_node).once(),
    Test::new("cluster::a_volume_is_brought_to_pods_of_two_nodes", csi::a_volume_is_brought_to_pods_of_two_nodes)
        .once(),
    Test::new(
        "cluster::a_volume_that_is_not_what_it_should_be_is_refused",
        csi::a_volume_that_is_not_what_it_should_be_is_refused,
    )
    .once(),
    Test::new("cluster::a_node_that_is_fenced_lets_go", csi::a_node_that_is_fenced_lets_go).mostly_on(V6_12),
    Test::new("cluster::a_foreign_target_is_left_alone", csi::a_foreign_target_is_left_alone).once(),
    Test::without_vm("cluster::sidecars_do_what_claims_ask", csi::sidecars_do_what_claims_ask),
    Test::new("cluster::twenty_luns_are_ready_soon", served::twenty_luns_are_ready_soon).mostly_on(V6_12),
    Test::new("cluster::an_agent_that_was_down_catches_up", served::an_agent_that_was_down_catches_up).mostly_on(V6_1),
    Test::new("cluster::an_agent_needs_no_api_server_to_start", served::an_agent_needs_no_api_server_to_start)
        .mostly_on(V6_1),
];
