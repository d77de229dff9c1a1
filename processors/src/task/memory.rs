//! Was this event counted before? What a partition remembers beside the counts of its devices, and by which name it
//! knows an event again.

use schemas::Event;

use crate::{
    dedupe::{
        delivery::{Receiving, RecentDeliveries},
        fingerprint::Fingerprinter,
        recent::{RecentLimits, RecentSet},
        sequence::{Claim, SequenceWindow, Verdict},
    },
    limits::REPLAYS_KEPT,
};

/// What is remembered of replays: bounded in number only, so the clock stands still.
const REPLAYS: RecentLimits = RecentLimits {
    count_max: REPLAYS_KEPT,
    age_ms: i64::MAX,
};

/// What is remembered of events beside their counts.
pub(super) struct Memory<'task> {
    pub(super) fingerprinter: &'task mut Fingerprinter,
    pub(super) identities: &'task mut RecentSet,
    pub(super) deliveries: &'task mut RecentDeliveries,
    pub(super) replays: &'task mut RecentSet,
    /// The log clock, and how long and how much to remember.
    pub(super) now: (i64, RecentLimits),
}

impl Memory<'_> {
    /// Judges an event by its count, with what it has beside it.
    pub(super) fn judge(&mut self, counts: &mut SequenceWindow, key: &[u8], seq: u64, event: &Event<'_>) -> Verdict {
        let claim = self.claim(key, seq, event);
        if let Claim::At(ms) = claim
            && counts.would_restart(seq, claim)
        {
            // Its time may not have been believed when it came first, so that the counts do not know it.
            let fingerprint = self.fingerprinter.disputed(key, seq, ms, event);
            if self.identities.contains(fingerprint) {
                return Verdict::Duplicate;
            }
        }
        counts.observe(seq, claim)
    }

    /// What an event has beside its count.
    fn claim(&mut self, key: &[u8], seq: u64, event: &Event<'_>) -> Claim {
        match (event.device_ts_ms, event.claimed_ts_ms()) {
            (Some(disbelieved_ms), _) => {
                let fingerprint = self.fingerprinter.disputed(key, seq, disbelieved_ms, event);
                self.remember(fingerprint);
                Claim::Disbelieved(disbelieved_ms)
            }
            (None, Some(claimed_ms)) => Claim::At(claimed_ms),
            (None, None) => {
                let fingerprint = self.fingerprinter.counted(key, seq, event);
                let known = self.remember(fingerprint);
                match event.replay_of {
                    None => Claim::None { known },
                    Some(_) => Claim::Late { known },
                }
            }
        }
    }

    /// Was an event of a dead letter counted from an earlier replay? Remembers it.
    pub(super) fn was_replayed(&mut self, key: &[u8], event: &Event<'_>) -> bool {
        let Some(letter) = &event.replay_of else { return false };
        let fingerprint = self.fingerprinter.replayed(key, letter, event);
        self.replays.insert(fingerprint, 0, REPLAYS)
    }

    /// Was an event without `seq` counted before? Remembers it.
    pub(super) fn has_seen(&mut self, key: &[u8], event: &Event<'_>) -> bool {
        if let Some(claimed_ts_ms) = event.claimed_ts_ms() {
            let fingerprint = self.fingerprinter.claimed(key, claimed_ts_ms, event);
            return self.remember(fingerprint);
        }
        if event.replay_of.is_some() {
            // Its identity is the letter, which [`Self::was_replayed`] has looked at.
            return false;
        }
        let Some(mark) = event.delivery else { return false };
        let fingerprints = self.fingerprinter.delivered(key, mark, event);
        if self.remember(fingerprints.record) {
            return true;
        }
        let receiving = Receiving::of(event, mark);
        self.deliveries.observe(fingerprints.delivery, receiving, self.now)
    }

    fn remember(&mut self, fingerprint: u64) -> bool {
        let (log_clock_ms, limits) = self.now;
        self.identities.insert(fingerprint, log_clock_ms, limits)
    }
}
