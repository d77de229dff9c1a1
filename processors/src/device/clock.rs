//! How good a device's own clock is: how far it is from the time of receipt, and how often it was far off.
//!
//! Only told, never acted upon: what a clock says decides about its own device's events (`schemas::Event::new`), and
//! nothing here may touch anybody else's.

use serde::{Deserialize, Serialize};

use crate::limits::CLOCK_FAR_PAST_MS;

/// What is known of one device's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockQuality {
    /// Events with a time of the device's own.
    pub claim_count: u64,
    /// Running median of receipt less claim, in milliseconds: how far the clock is behind, what the way takes included;
    /// negative when it is ahead.
    pub skew_ms: i64,
    /// The last step of the median.
    step_ms: i64,
    /// Claims too far ahead to be believed.
    pub future_count: u64,
    /// Claims more than `CLOCK_FAR_PAST_MS` (a day) before receipt.
    pub past_count: u64,
    /// Receipt of the last claim, Unix milliseconds.
    pub seen_at_ms: i64,
}

impl ClockQuality {
    /// What was told of a clock, to go on from.
    #[must_use]
    pub fn told(claim_count: u64, skew_ms: i64, future_count: u64, past_count: u64, seen_at_ms: i64) -> Self {
        Self {
            claim_count,
            skew_ms,
            step_ms: 0,
            future_count,
            past_count,
            seen_at_ms,
        }
    }

    /// An event with a claimed time was received.
    pub fn note(&mut self, claimed_ts_ms: i64, received_at_ms: i64, is_believed: bool) {
        let lag_ms = received_at_ms.saturating_sub(claimed_ts_ms);
        if self.claim_count == 0 {
            self.skew_ms = lag_ms;
        } else {
            self.move_towards(lag_ms);
        }
        self.claim_count += 1;
        self.future_count += u64::from(!is_believed);
        self.past_count += u64::from(lag_ms > CLOCK_FAR_PAST_MS);
        self.seen_at_ms = self.seen_at_ms.max(received_at_ms);
    }

    /// The median rises below a sample and falls above one, whatever the distance, so single outliers do not move it.
    /// Steps into the same direction double, so a clock that was set is followed within some forty events even over
    /// years; a step never passes the sample.
    fn move_towards(&mut self, sample_ms: i64) {
        let distance_ms = sample_ms.saturating_sub(self.skew_ms);
        let direction = distance_ms.signum();
        self.step_ms = match self.step_ms.signum() == direction {
            true => self.step_ms.saturating_mul(2),
            false => direction,
        };
        if self.step_ms.unsigned_abs() > distance_ms.unsigned_abs() {
            self.step_ms = distance_ms;
        }
        self.skew_ms += self.step_ms;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_790_000_000_000;
    const YEARS_MS: i64 = 10 * 365 * 86_400_000;

    fn after(lags_ms: impl IntoIterator<Item = i64>) -> ClockQuality {
        let mut clock = ClockQuality::default();
        for lag_ms in lags_ms {
            clock.note(NOW_MS - lag_ms, NOW_MS, lag_ms >= -60_000);
        }
        clock
    }

    #[test]
    fn a_steady_clock_shows_its_skew_at_once() {
        assert_eq!(after([YEARS_MS]).skew_ms, YEARS_MS);
        assert_eq!(after([-YEARS_MS; 5]).skew_ms, -YEARS_MS);
    }

    #[test]
    fn outliers_do_not_move_the_estimate() {
        let lags = (0..10_000).map(|index| if index % 10 == 9 { YEARS_MS } else { 40 + index % 20 });
        let clock = after(lags);
        assert!((20..=80).contains(&clock.skew_ms), "{clock:?}");
        assert_eq!(clock.past_count, 1_000);
    }

    #[test]
    fn a_clock_that_was_set_is_followed_within_fifty_events() {
        let clock = after([[YEARS_MS; 50], [100; 50]].concat());
        assert!((90..=110).contains(&clock.skew_ms), "{clock:?}");
    }

    #[test]
    fn claims_out_of_range_are_counted_and_the_largest_ones_do_no_harm() {
        let clock = after([0, -60_001, 86_400_001, 86_400_000, -59_999]);
        assert_eq!((clock.claim_count, clock.future_count, clock.past_count), (5, 1, 1));
        let mut clock = ClockQuality::default();
        for claimed_ts_ms in [i64::MAX, i64::MIN, i64::MAX, 0, i64::MIN] {
            clock.note(claimed_ts_ms, NOW_MS, claimed_ts_ms < NOW_MS);
        }
        assert_eq!(clock.claim_count, 5);
    }
}
