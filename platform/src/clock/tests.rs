//! What clocks promise.

use std::time::{Duration, SystemTime};

use super::{Clock, ManualClock, SystemClock};

#[test]
fn the_system_clock_tells_unix_milliseconds() {
    let expected = SystemTime::UNIX_EPOCH
        .elapsed()
        .expect("the machine's clock is after 1970")
        .as_millis();
    let told = u128::try_from(SystemClock::new().wall_ms()).expect("after 1970");
    assert!(told.abs_diff(expected) < 60_000, "told {told}, expected {expected}");
}

#[test]
fn the_system_clock_never_goes_back() {
    let clock = SystemClock::new();
    let mut last = clock.monotonic();
    for _ in 0..10_000 {
        let now = clock.monotonic();
        assert!(now >= last);
        last = now;
    }
}

#[test]
fn a_manual_clock_moves_only_when_told() {
    let clock = ManualClock::at(1_700_000_000_000);
    assert_eq!(clock.wall_ms(), 1_700_000_000_000);
    assert_eq!(clock.monotonic(), Duration::ZERO);

    clock.advance(Duration::from_millis(1_500));
    assert_eq!(clock.wall_ms(), 1_700_000_001_500);
    assert_eq!(clock.monotonic(), Duration::from_millis(1_500));
}

#[test]
fn setting_the_wall_clock_leaves_monotonic_time_alone() {
    let clock = ManualClock::at(5_000);
    clock.advance(Duration::from_secs(1));
    clock.set_wall_ms(1_000);
    assert_eq!(clock.wall_ms(), 1_000);
    assert_eq!(clock.monotonic(), Duration::from_secs(1));
}
