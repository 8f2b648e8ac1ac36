//! The charts: what they render, what they refuse, and that a real API server takes it. No pod runs here.

mod api;
pub mod helm;
mod prometheus;
mod rendered;
mod uninstall;

use lunette_bed::Test;

/// All of them.
pub const TESTS: &[Test] = &[
    Test::without_vm("charts::lint_finds_nothing", rendered::lint_finds_nothing),
    Test::without_vm("charts::values_that_cannot_be_are_refused", rendered::values_that_cannot_be_are_refused),
    Test::without_vm(
        "charts::the_sidecars_are_those_that_are_tested",
        rendered::the_sidecars_are_those_that_are_tested,
    ),
    Test::without_vm("charts::the_plain_manifest_is_the_chart's", rendered::the_plain_manifest_is_the_charts),
    Test::without_vm("charts::each_value_does_what_it_did", rendered::each_value_does_what_it_did),
    Test::without_vm("charts::prometheus_raises_each_alert", prometheus::prometheus_raises_each_alert),
    Test::without_vm(
        "charts::prometheus_understands_the_dashboards",
        prometheus::prometheus_understands_the_dashboards,
    ),
    Test::without_vm("charts::the_api_server_takes_it_all", api::the_api_server_takes_it_all),
    Test::without_vm("charts::only_agents_need_privileges", api::only_agents_need_privileges),
    Test::without_vm("charts::helm_installs_and_upgrades", api::helm_installs_and_upgrades),
    Test::without_vm("charts::what_exists_is_not_uninstalled", uninstall::what_exists_is_not_uninstalled),
];
