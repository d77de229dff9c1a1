//! Which of a device's own counts have been seen; and whether a step back is a repetition or a restart.

use serde::{Deserialize, Serialize};

use super::counts::CountSet;

/// Runs kept: the present one, and those whose late repetitions may still come.
const RUNS_MAX: usize = 4;
/// A step back of this size is a restart if the event is a new one: more than a device keeps in flight to send again.
const RESTART_STEP: u64 = 64;
/// Counting begins at 0 or 1, so these after a longer run are a restart where the step back alone is too short.
const FIRST_COUNT_MAX: u64 = 1;

/// What to do with an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not seen before.
    New,
    /// Seen before: it was counted.
    Duplicate,
    /// Not seen before: the device began to count again.
    Restart,
}

/// What an event has beside its count to tell it from another of the same count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Unix milliseconds claimed by the device: a repetition claims the same.
    At(i64),
    /// The same, too far ahead to be believed. It says nothing of the events with a believed time.
    Disbelieved(i64),
    /// No time claimed.
    None {
        /// An event of this count and content was seen not long ago.
        known: bool,
    },
    /// No time claimed, and refused before: its count may be of long ago, so a step back says nothing.
    Late {
        /// As above.
        known: bool,
    },
}

/// The counts seen of one device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceWindow {
    /// Newest first, at most [`RUNS_MAX`].
    runs: Vec<Run>,
}

/// One run of a device, from a start to the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Run {
    counts: CountSet,
    /// Newest believed time claimed in this run.
    newest_claim_ms: i64,
    /// Newest time claimed that was not believed.
    newest_disbelieved_ms: i64,
}

impl SequenceWindow {
    /// Judges an event and remembers it.
    pub fn observe(&mut self, seq: u64, claim: Claim) -> Verdict {
        if let Claim::None { known: true } | Claim::Late { known: true } = claim {
            return Verdict::Duplicate;
        }
        let Some(present) = self.runs.first() else {
            self.begin_run(seq, claim);
            return Verdict::New;
        };
        // Whether or not the count was seen before: a run whose first events never came (lost on the way, or sent before
        // we were there) must not take those of the next run for the missing ones.
        if present.restarted(seq, claim) {
            self.begin_run(seq, claim);
            return Verdict::Restart;
        }
        // An earlier run may lack a count that the present one has.
        let earlier = self.runs[1..]
            .iter()
            .position(|run| run.may_hold(seq, claim))
            .map(|index| index + 1);
        let run = &mut self.runs[earlier.unwrap_or(0)];
        if run.counts.contains(seq) {
            return Verdict::Duplicate;
        }
        run.counts.insert(seq);
        run.note(claim);
        Verdict::New
    }

    /// Whether an event would be taken for the first of a new run.
    #[must_use]
    pub fn would_restart(&self, seq: u64, claim: Claim) -> bool {
        self.runs.first().is_some_and(|present| present.restarted(seq, claim))
    }

    /// Reads what the next count is compared with, to have it fetched. The result means nothing.
    #[must_use]
    pub fn peek(&self) -> u64 {
        self.runs.first().map_or(0, |run| run.counts.highest())
    }

    fn begin_run(&mut self, seq: u64, claim: Claim) {
        self.runs.truncate(RUNS_MAX - 1);
        let mut run = Run {
            counts: CountSet::of(seq),
            newest_claim_ms: i64::MIN,
            newest_disbelieved_ms: i64::MIN,
        };
        run.note(claim);
        self.runs.insert(0, run);
    }
}

impl Run {
    fn note(&mut self, claim: Claim) {
        match claim {
            Claim::At(ms) => self.newest_claim_ms = self.newest_claim_ms.max(ms),
            Claim::Disbelieved(ms) => self.newest_disbelieved_ms = self.newest_disbelieved_ms.max(ms),
            Claim::None { .. } | Claim::Late { .. } => {}
        }
    }

    /// Did the device start again, rather than go on or repeat itself?
    fn restarted(&self, seq: u64, claim: Claim) -> bool {
        let step_back = self.counts.highest().saturating_sub(seq);
        let from_the_start = seq <= FIRST_COUNT_MAX && step_back > FIRST_COUNT_MAX;
        let is_another = match claim {
            Claim::At(ms) => ms > self.newest_claim_ms,
            // Also than what was believed: the clock that judges may have been set back since.
            Claim::Disbelieved(ms) => ms > self.newest_disbelieved_ms.max(self.newest_claim_ms),
            Claim::None { known } => !known,
            Claim::Late { .. } => false,
        };
        is_another && (step_back >= RESTART_STEP || from_the_start)
    }

    /// True when an event belongs to this earlier run rather than to a later one.
    fn may_hold(&self, seq: u64, claim: Claim) -> bool {
        let in_its_time = match claim {
            Claim::At(ms) => ms <= self.newest_claim_ms,
            Claim::Disbelieved(ms) => ms <= self.newest_disbelieved_ms,
            Claim::None { .. } | Claim::Late { .. } => false,
        };
        in_its_time && seq <= self.counts.highest()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn observe_all(counts: impl IntoIterator<Item = (u64, i64)>) -> Vec<Verdict> {
        let mut window = SequenceWindow::default();
        counts
            .into_iter()
            .map(|(seq, ms)| window.observe(seq, Claim::At(ms)))
            .collect()
    }

    #[test]
    fn a_repetition_is_a_duplicate_however_old() {
        let mut window = SequenceWindow::default();
        for seq in 0..100_000u64 {
            assert_eq!(window.observe(seq, Claim::At(seq as i64)), Verdict::New);
        }
        for seq in (0..100_000u64).step_by(997) {
            assert_eq!(window.observe(seq, Claim::At(seq as i64)), Verdict::Duplicate);
        }
    }

    #[test]
    fn a_repetition_with_a_fresh_time_is_a_duplicate_while_the_step_back_is_small() {
        assert_eq!(observe_all([(5, 10), (6, 20), (5, 30)])[2], Verdict::Duplicate);
        assert_eq!(observe_all([(1, 10), (1, 20)])[1], Verdict::Duplicate);
    }

    #[test]
    fn a_large_step_back_with_a_newer_time_is_a_restart_and_loses_nothing() {
        let first_run = (0..500u64).map(|seq| (seq, seq as i64));
        let second_run = (0..500u64).map(|seq| (seq, 1_000 + seq as i64));
        let verdicts = observe_all(first_run.chain(second_run));
        assert_eq!(verdicts[500], Verdict::Restart);
        assert!(verdicts[501..].iter().all(|verdict| *verdict == Verdict::New));
    }

    #[test]
    fn what_was_refused_long_ago_fills_its_gap_and_is_no_restart() {
        let mut window = SequenceWindow::default();
        let untimed = Claim::None { known: false };
        for seq in (0..500u64).filter(|seq| *seq != 3) {
            assert_eq!(window.observe(seq, untimed), Verdict::New);
        }
        let late = Claim::Late { known: false };
        assert_eq!(window.observe(3, late), Verdict::New);
        assert_eq!(window.observe(3, late), Verdict::Duplicate);
        assert_eq!(
            window.observe(4, late),
            Verdict::Duplicate,
            "the device sent it well in the end"
        );
        assert_eq!(window.observe(500, untimed), Verdict::New, "the run goes on");
    }

    #[test]
    fn a_late_event_of_the_run_before_counts_though_the_present_run_has_its_count() {
        let mut window = SequenceWindow::default();
        for seq in (0..=100u64).filter(|seq| *seq != 50) {
            assert_eq!(window.observe(seq, Claim::At(seq as i64)), Verdict::New);
        }
        assert_eq!(window.observe(0, Claim::At(1_000)), Verdict::Restart);
        (1..=60u64).for_each(|seq| assert_eq!(window.observe(seq, Claim::At(1_000 + seq as i64)), Verdict::New));
        assert_eq!(window.observe(50, Claim::At(50)), Verdict::New);
        assert_eq!(window.observe(50, Claim::At(50)), Verdict::Duplicate);
        assert_eq!(window.observe(50, Claim::At(1_050)), Verdict::Duplicate);
        assert_eq!(window.observe(51, Claim::At(51)), Verdict::Duplicate);
    }

    #[test]
    fn a_restart_is_recognised_though_the_first_events_of_the_run_before_never_came() {
        let mut window = SequenceWindow::default();
        let seen_late = (1..=22u64).chain(5_000..5_040).map(|seq| (seq, seq as i64));
        seen_late.for_each(|(seq, ms)| assert_eq!(window.observe(seq, Claim::At(ms)), Verdict::New));
        assert_eq!(window.observe(0, Claim::At(9_000)), Verdict::Restart);
        for seq in 1..6_000 {
            assert_eq!(window.observe(seq, Claim::At(9_000)), Verdict::New, "{seq}");
        }
        let mut window = SequenceWindow::default();
        let untimed = Claim::None { known: false };
        (5_000..5_040).for_each(|seq| assert_eq!(window.observe(seq, untimed), Verdict::New));
        assert_eq!(window.observe(0, untimed), Verdict::Restart);
        for seq in 1..6_000 {
            assert_eq!(window.observe(seq, untimed), Verdict::New, "{seq}");
        }
    }

    #[test]
    fn repetitions_of_an_earlier_run_are_known_after_a_restart() {
        let mut window = SequenceWindow::default();
        (0..100u64).for_each(|seq| {
            window.observe(seq, Claim::At(seq as i64));
        });
        assert_eq!(window.observe(0, Claim::At(1_000)), Verdict::Restart);
        assert_eq!(window.observe(50, Claim::At(50)), Verdict::Duplicate);
        assert_eq!(window.observe(50, Claim::At(1_050)), Verdict::New);
        assert_eq!(window.observe(50, Claim::At(1_050)), Verdict::Duplicate);
    }

    #[test]
    fn without_times_a_new_event_far_back_is_a_restart_and_a_known_one_never() {
        let mut window = SequenceWindow::default();
        for seq in 0..300 {
            assert_eq!(window.observe(seq, Claim::None { known: false }), Verdict::New);
        }
        for seq in 0..300 {
            assert_eq!(window.observe(seq, Claim::None { known: true }), Verdict::Duplicate);
        }
        assert_eq!(window.observe(290, Claim::None { known: false }), Verdict::Duplicate);
        assert_eq!(window.observe(0, Claim::None { known: false }), Verdict::Restart);
        for seq in 1..300 {
            assert_eq!(window.observe(seq, Claim::None { known: false }), Verdict::New);
        }
    }

    #[test]
    fn a_time_that_nobody_believes_does_not_hide_a_restart() {
        let mut window = SequenceWindow::default();
        for seq in 0..100 {
            window.observe(seq, Claim::At(1_000 + seq as i64));
        }
        assert_eq!(window.observe(100, Claim::Disbelieved(4_000_000)), Verdict::New);
        assert_eq!(window.observe(100, Claim::Disbelieved(4_000_000)), Verdict::Duplicate);
        assert_eq!(window.observe(0, Claim::At(2_000)), Verdict::Restart);
        assert_eq!(window.observe(1, Claim::At(2_001)), Verdict::New);
        assert_eq!(window.observe(50, Claim::At(1_050)), Verdict::Duplicate);
    }

    #[test]
    fn gaps_of_any_number_are_no_reason_to_forget() {
        let counts = (0..2_000u64).step_by(2).map(|seq| (seq, seq as i64));
        let verdicts = observe_all(counts.clone().chain(counts));
        assert!(verdicts[..1_000].iter().all(|verdict| *verdict == Verdict::New));
        assert!(verdicts[1_000..].iter().all(|verdict| *verdict == Verdict::Duplicate));
    }

    #[test]
    fn the_ends_of_the_range_of_counts_are_ordinary() {
        assert_eq!(
            observe_all([(u64::MAX, 1), (u64::MAX - 1, 2), (u64::MAX, 1)]),
            [Verdict::New, Verdict::New, Verdict::Duplicate]
        );
    }

    proptest! {
        /// Any order, any repetition: each count is new exactly once.
        #[test]
        fn within_one_run_it_is_a_set(counts in proptest::collection::vec(0u64..60, 1..300)) {
            let mut window = SequenceWindow::default();
            let mut seen = HashSet::new();
            for seq in counts {
                let fresh = window.observe(seq, Claim::At(seq as i64)) == Verdict::New;
                prop_assert_eq!(fresh, seen.insert(seq));
            }
        }
    }
}
