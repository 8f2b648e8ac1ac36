//! The agent on a real kernel, fed from a directory of manifests: what an initiator in a second VM sees.
//!
//! No Kubernetes here. Each file is about one promise; [`site`] and [`initiator`] are what they all stand on.

mod access;
mod bad_input;
mod basics;
mod boot;
mod control;
mod crashes;
mod crowd;
mod failing;
mod figures;
mod full;
mod held;
mod imports;
mod initiator;
mod ipv6;
mod lacking;
mod libiscsi;
mod local;
mod losses;
mod manifest;
mod memory;
mod orphans;
mod power;
mod pressure;
mod qemu;
mod scale;
mod site;
mod snapshots;
mod stuck;
mod timing;
mod tools;
mod upgrades;
mod verify;
mod witness;

use lunette_bed::Kernel::{V6_1, V6_12};
use lunette_bed::Test;

/// All of them.
pub const TESTS: &[Test] = &[
    Test::new("vm::a_lun_comes_grows_and_goes", basics::a_lun_comes_grows_and_goes),
    Test::new("vm::a_lun_is_a_disk_of_its_own_node", local::a_lun_is_a_disk_of_its_own_node).mostly_on(V6_12),
    Test::new("vm::a_local_disk_survives_a_lack_of_memory", pressure::a_local_disk_survives_a_lack_of_memory)
        .mostly_on(V6_12),
    Test::new(
        "vm::an_initiator_is_told_of_ports_pages_and_copies",
        control::an_initiator_is_told_of_ports_pages_and_copies,
    ),
    Test::new("vm::io_survives_crashes_of_the_agent", crashes::io_survives_crashes_of_the_agent).mostly_on(V6_12),
    Test::new("vm::no_write_of_a_dead_agent_lands_late", crashes::no_write_of_a_dead_agent_lands_late).mostly_on(V6_12),
    Test::new("vm::io_survives_outages_of_minutes", crashes::io_survives_outages_of_minutes).long(),
    Test::new("vm::io_survives_ten_minutes_with_our_settings", crashes::io_survives_ten_minutes_with_our_settings)
        .long(),
    Test::new("vm::io_does_not_notice_an_upgrade", upgrades::io_does_not_notice_an_upgrade).mostly_on(V6_12),
    Test::new("vm::io_does_not_notice_a_hundred_upgrades", upgrades::io_does_not_notice_a_hundred_upgrades).long(),
    Test::new("vm::nothing_acknowledged_is_lost_in_a_power_cut", power::nothing_acknowledged_is_lost_in_a_power_cut)
        .mostly_on(V6_1),
    Test::new(
        "vm::a_disk_that_loses_what_was_not_flushed_loses_nothing_acknowledged",
        losses::a_disk_that_loses_what_was_not_flushed_loses_nothing_acknowledged,
    ),
    Test::new(
        "vm::a_hundred_power_cuts_lose_nothing_acknowledged",
        losses::a_hundred_power_cuts_lose_nothing_acknowledged,
    )
    .long(),
    Test::new(
        "vm::a_failing_disk_is_told_as_it_is_and_harms_only_its_own_lun",
        failing::a_failing_disk_is_told_as_it_is_and_harms_only_its_own_lun,
    ),
    Test::new(
        "vm::an_initiator_gives_up_commands_of_a_hanging_disk_and_keeps_its_session",
        failing::an_initiator_gives_up_commands_of_a_hanging_disk_and_keeps_its_session,
    )
    .mostly_on(V6_12),
    Test::new(
        "vm::a_full_file_system_is_told_as_it_is_and_io_goes_on_when_there_is_room",
        full::a_full_file_system_is_told_as_it_is_and_io_goes_on_when_there_is_room,
    )
    .mostly_on(V6_1),
    Test::new("vm::a_stuck_backend_harms_only_its_own_lun", stuck::a_stuck_backend_harms_only_its_own_lun)
        .mostly_on(V6_12),
    Test::new("vm::strangers_and_wrong_secrets_are_refused", access::strangers_and_wrong_secrets_are_refused)
        .mostly_on(V6_1),
    Test::new("vm::a_portal_may_be_ipv6", ipv6::a_portal_may_be_ipv6).mostly_on(V6_12),
    Test::new("vm::two_hundred_luns_come_and_go", crowd::two_hundred_luns_come_and_go).mostly_on(V6_1),
    Test::new("vm::a_thousand_luns_are_served", scale::a_thousand_luns_are_served).long(),
    Test::new(
        "vm::an_orphan_is_removed_and_a_foreign_target_is_not",
        orphans::an_orphan_is_removed_and_a_foreign_target_is_not,
    )
    .mostly_on(V6_1),
    Test::new("vm::bad_input_is_refused_with_a_reason", bad_input::bad_input_is_refused_with_a_reason).mostly_on(V6_1),
    Test::new("vm::what_a_node_lacks_is_said", lacking::what_a_node_lacks_is_said).mostly_on(V6_1),
    // What it finds is the same on both, and it keeps all processors busy for minutes.
    Test::new("vm::libiscsi_finds_what_is_expected", libiscsi::libiscsi_finds_what_is_expected).mostly_on(V6_12),
    Test::new("vm::tools_and_file_systems_find_what_they_expect", tools::tools_and_file_systems_find_what_they_expect)
        .once(),
    Test::new("vm::qemu_shares_a_lun_and_boots_from_it", qemu::qemu_shares_a_lun_and_boots_from_it).once(),
    Test::new("vm::fio_verifies_at_depth_32", verify::fio_verifies_at_depth_32).mostly_on(V6_1),
    Test::new("vm::a_device_of_memory_is_used_by_plain_calls", memory::a_device_of_memory_is_used_by_plain_calls),
    Test::new("vm::metrics_agree_with_what_fio_did", figures::metrics_agree_with_what_fio_did).mostly_on(V6_1),
    Test::new(
        "vm::a_snapshot_is_of_one_instant_and_is_restored",
        snapshots::a_snapshot_is_of_one_instant_and_is_restored,
    )
    .once(),
    Test::new("vm::a_lun_begins_as_an_image", imports::a_lun_begins_as_an_image).once(),
    Test::new("vm::btrfs_takes_and_restores_snapshots", snapshots::btrfs_takes_and_restores_snapshots).once(),
    Test::new("vm::limits_hold_and_change_live", figures::limits_hold_and_change_live).mostly_on(V6_1),
];
