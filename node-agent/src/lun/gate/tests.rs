//! The gate against a clock that the test sets.

use super::*;

const SECOND: u64 = 1_000_000_000;

fn per_second(rate: u64) -> Option<NonZero<u64>> {
    NonZero::new(rate)
}

/// Takes whatever the gate lets pass until `end`, of commands that are always there: how many.
fn take(gate: &Gate, from: u64, end: u64, kind: Kind, bytes: u32) -> u64 {
    let (mut now, mut taken) = (from, 0);
    loop {
        gate.refill(|| now);
        while gate.is_open() {
            gate.charge(kind, bytes);
            taken += 1;
        }
        now += u64::try_from(gate.wait().as_nanos()).unwrap();
        if now >= end {
            return taken;
        }
    }
}

#[test]
fn without_limits_everything_passes_and_no_clock_is_read() {
    let gate = Gate::new();
    for _ in 0..1000 {
        gate.refill(|| panic!("the clock was read"));
        gate.charge(Kind::Write, u32::MAX);
        assert!(gate.is_open());
    }
    assert_eq!(gate.wait(), Duration::ZERO);
}

#[test]
fn each_limit_holds_by_itself() {
    let unlimited = Rates::default();
    for (limits, kind, bytes, per_ten_seconds) in [
        (Rates { operations: per_second(100), ..unlimited }, Kind::Read, 4096, 1000),
        (Rates { operations: per_second(100), ..unlimited }, Kind::Write, 4096, 1000),
        (Rates { reads: per_second(100), writes: per_second(50), ..unlimited }, Kind::Read, 0, 1000),
        (Rates { reads: per_second(100), writes: per_second(50), ..unlimited }, Kind::Write, 0, 500),
        (Rates { reads: per_second(100), writes: per_second(50), ..unlimited }, Kind::Discard, 0, 500),
        (Rates { reads: per_second(100), writes: per_second(50), ..unlimited }, Kind::Verify, 0, 1000),
        (Rates { bytes: per_second(4 << 20), ..unlimited }, Kind::Write, 1 << 20, 40),
        (Rates { operations: per_second(100), bytes: per_second(4 << 20), ..unlimited }, Kind::Read, 1 << 20, 40),
        (Rates { operations: per_second(100), bytes: per_second(1 << 30), ..unlimited }, Kind::Read, 4096, 1000),
    ] {
        let gate = Gate::new();
        gate.limit(Some(limits), 0);
        let taken = take(&gate, 0, 10 * SECOND, kind, bytes);
        assert!((per_ten_seconds..=per_ten_seconds + 1).contains(&taken), "{taken} under {limits:?}");
    }
}

#[test]
fn what_touches_no_medium_is_free() {
    let gate = Gate::new();
    gate.limit(Some(Rates { operations: per_second(50), bytes: per_second(1), ..Rates::default() }), 0);
    for kind in [Kind::Flush, Kind::Other] {
        (0..1000).for_each(|_| gate.charge(kind, 4096));
        assert!(gate.is_open());
    }
}

#[test]
fn a_burst_is_earned_by_being_idle() {
    let limits = Rates { operations: per_second(100), burst: Duration::from_secs(5), ..Rates::default() };
    let gate = Gate::new();
    gate.limit(Some(limits), 0);
    assert_eq!(take(&gate, 0, 1, Kind::Read, 0), 1, "nothing is saved up at first");
    assert_eq!(take(&gate, 3600 * SECOND, 3600 * SECOND + 1, Kind::Read, 0), 501);
}

#[test]
fn without_a_burst_a_tenth_of_a_second_is_saved_up() {
    let gate = Gate::new();
    gate.limit(Some(Rates { operations: per_second(100), ..Rates::default() }), 0);
    assert_eq!(take(&gate, 3600 * SECOND, 3600 * SECOND + 1, Kind::Read, 0), 11);
}

#[test]
fn limits_change_while_commands_wait() {
    let limits = |rate| Some(Rates { operations: per_second(rate), ..Rates::default() });
    let gate = Gate::new();
    gate.limit(limits(100), 0);
    assert_eq!(take(&gate, 0, SECOND, Kind::Read, 0), 100);
    gate.limit(limits(1000), SECOND);
    assert!((999..=1002).contains(&take(&gate, SECOND, 2 * SECOND, Kind::Read, 0)));
    gate.limit(None, 2 * SECOND);
    assert!(gate.is_open() && gate.wait().is_zero());
    gate.limit(limits(50), 2 * SECOND);
    assert!((50..=51).contains(&take(&gate, 2 * SECOND, 3 * SECOND, Kind::Read, 0)));
}

#[test]
fn changing_limits_again_and_again_gains_nothing() {
    let limits = Rates { operations: per_second(100), burst: Duration::from_secs(60), ..Rates::default() };
    let gate = Gate::new();
    let mut taken = 0;
    for round in 0..100 {
        let now = round * SECOND / 100;
        gate.limit(Some(limits), now);
        taken += take(&gate, now, now + SECOND / 100, Kind::Read, 0);
    }
    assert!((99..=101).contains(&taken), "{taken} in a second");
}
