//! The promises of a LUN's thread, whoever comes first.

use lunette_schedules::{scenarios, try_orders};

#[test]
fn every_command_is_answered_whoever_ends_it_and_whatever_is_ordered_meanwhile() {
    try_orders(scenarios::traffic);
}

#[test]
fn nothing_runs_in_a_pause_and_all_goes_on_after_the_last() {
    try_orders(scenarios::pauses);
}

#[test]
fn a_copy_that_is_made_while_commands_run_lacks_nothing_in_the_end() {
    try_orders(scenarios::copies);
}

#[test]
fn a_stop_in_a_pause_ends_the_thread_and_the_pause_says_that_it_may_not_have_held() {
    try_orders(scenarios::stop_in_a_pause);
}

#[test]
fn a_ring_goes_from_one_to_the_next_and_each_command_is_carried_out_once() {
    try_orders(scenarios::succession);
}

#[test]
fn a_device_that_is_removed_ends_its_thread() {
    try_orders(scenarios::removal);
}
