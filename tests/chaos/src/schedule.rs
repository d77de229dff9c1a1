//! Which faults come when: follows from the seed alone, so that a run can be repeated. Pure.
//!
//! Faults are dealt from a shuffled deck with every kind at every place in it, so that a long run leaves nothing out.
//! One at a time, now and then two.

use std::time::Duration;

use rand::{Rng, RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use crate::{
    fault::{Disk, Fault, Hop, Part, Setting},
    limits::{CLOCK_JUMP_SECONDS_MAX, SESSION_TIMEOUT},
    proxy::Direction,
};

/// A fault and its time, counted from the beginning of the round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// When it begins.
    pub at: Duration,
    /// How long it lasts.
    pub lasting: Duration,
    /// What happens.
    pub fault: Fault,
}

/// Deals faults without end.
#[derive(Clone, Debug)]
pub struct Deck {
    random: ChaCha8Rng,
    rest: Vec<Fault>,
    with_disks: bool,
}

impl Deck {
    /// A deck of this seed. Its first cards are one of each kind, so that a short run sees all of them.
    #[must_use]
    pub fn new(seed: u64, with_disks: bool) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut all = all_faults(&mut random, with_disks);
        all.shuffle(&mut random);
        let mut first: Vec<Fault> = Vec::new();
        for fault in &all {
            if first.iter().all(|other| other.kind() != fault.kind()) {
                first.push(*fault);
            }
        }
        // Taken from the end.
        all.retain(|fault| !first.contains(fault));
        all.extend(first);
        Self {
            random,
            rest: all,
            with_disks,
        }
    }

    fn deal(&mut self) -> Fault {
        if self.rest.is_empty() {
            self.rest = all_faults(&mut self.random, self.with_disks);
            self.rest.shuffle(&mut self.random);
        }
        self.rest.pop().expect("a deck is not empty")
    }

    /// The next faults, for a round.
    #[must_use]
    pub fn round(&mut self, count: usize) -> Vec<Step> {
        let mut steps: Vec<Step> = Vec::with_capacity(count);
        // Something is on its way before the first fault.
        let mut at = Duration::from_millis(self.random.random_range(1_500..3_000));
        for _ in 0..count {
            let fault = self.deal();
            let lasting = lasting(fault, &mut self.random);
            let overlaps = |other: &&Step| other.at + other.lasting > at;
            let under_way = steps.iter().filter(overlaps).count();
            let same_place = steps
                .iter()
                .any(|other| overlaps(&other) && other.fault.place() == fault.place());
            if under_way > 1 || same_place {
                at = steps.iter().map(|other| other.at + other.lasting).max().unwrap_or(at);
            }
            steps.push(Step { at, lasting, fault });
            let pause = Duration::from_millis(self.random.random_range(300..2_000));
            // One in three begins before the one before has ended.
            at += if self.random.random_ratio(1, 3) {
                pause.min(lasting)
            } else {
                lasting + pause
            };
        }
        steps
    }
}

/// Every kind at every place, with numbers of its own.
fn all_faults(random: &mut impl Rng, with_disks: bool) -> Vec<Fault> {
    let mut faults = Vec::new();
    for part in Part::ALL {
        faults.extend([Fault::Kill(part), Fault::Restart(part), Fault::Pause(part)]);
    }
    // What the promise is about is killed most.
    let ours = [Part::Ingest, Part::ProcessOne, Part::ProcessTwo, Part::ClickHouse];
    faults.extend(ours.map(Fault::Kill));
    faults.extend(Part::PROCESSES.map(Fault::Zombie));
    for part in Part::PROCESSES {
        faults.extend(Setting::ALL.map(|setting| Fault::CrashInto(part, setting)));
        faults.extend(Setting::ALL.map(|setting| Fault::RestartInto(part, setting)));
    }
    let (forward, either_way) = (
        1..CLOCK_JUMP_SECONDS_MAX,
        -CLOCK_JUMP_SECONDS_MAX..CLOCK_JUMP_SECONDS_MAX,
    );
    // An ingest that is behind takes what devices say for the future, and corrects it: so it is promised.
    faults.push(Fault::ClockJump(Part::Ingest, random.random_range(forward)));
    faults.extend(Part::PROCESSES.map(|part| Fault::ClockJump(part, random.random_range(either_way.clone()))));
    for hop in Hop::ALL {
        let direction = if random.random() {
            Direction::ToServer
        } else {
            Direction::ToClient
        };
        faults.extend([
            Fault::Delay(hop, random.random_range(20..250)),
            Fault::Stall(hop),
            Fault::Reset(hop),
            Fault::Cut(hop, random.random_range(1..20_000)),
            Fault::OneWay(hop, direction),
            Fault::Refuse(hop),
        ]);
    }
    faults.extend([Fault::Retention; 3]);
    if with_disks {
        faults.extend([Disk::Checkpoints, Disk::Engine].map(Fault::DiskFull));
    }
    faults
}

fn lasting(fault: Fault, random: &mut impl Rng) -> Duration {
    let range_ms = match fault {
        Fault::Kill(_) | Fault::CrashInto(..) => 0..1_500,
        Fault::Restart(_) | Fault::RestartInto(..) => 0..500,
        Fault::Pause(_) => 500..5_000,
        Fault::Zombie(_) => {
            let session_ms = SESSION_TIMEOUT.as_millis() as u64;
            session_ms + 2_000..session_ms + 4_000
        }
        Fault::Delay(..) | Fault::Cut(..) | Fault::OneWay(..) => 1_500..4_000,
        Fault::Stall(_) | Fault::Refuse(_) => 1_000..4_500,
        Fault::Reset(_) => 300..1_500,
        Fault::ClockJump(..) => 3_000..8_000,
        Fault::DiskFull(_) => 2_000..5_000,
        Fault::Retention => 0..1,
    };
    Duration::from_millis(random.random_range(range_ms))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_schedule_and_another_one_does_not() {
        let round = |seed| Deck::new(seed, true).round(50);
        assert_eq!(round(7), round(7));
        assert_ne!(round(7), round(8));
    }

    #[test]
    fn no_more_than_two_faults_at_a_time_and_never_two_at_one_place() {
        for seed in 0..200 {
            let steps = Deck::new(seed, true).round(60);
            for (index, step) in steps.iter().enumerate() {
                let meanwhile: Vec<&Step> = steps[..index]
                    .iter()
                    .filter(|other| other.at + other.lasting > step.at)
                    .collect();
                assert!(meanwhile.len() <= 1, "seed {seed}, step {index}: {meanwhile:?}");
                assert!(meanwhile.iter().all(|other| other.fault.place() != step.fault.place()));
            }
        }
    }

    #[test]
    fn a_short_round_sees_every_kind_and_a_long_one_every_kind_at_every_place() {
        let kinds = |steps: &[Step]| steps.iter().map(|step| step.fault.kind()).collect::<HashSet<_>>().len();
        assert_eq!(kinds(&Deck::new(3, false).round(14)), 14);
        assert_eq!(kinds(&Deck::new(3, true).round(15)), 15);
        let mut deck = Deck::new(3, true);
        let size = deck.rest.len();
        let steps = deck.round(size);
        let places: HashSet<_> = steps
            .iter()
            .map(|step| (step.fault.kind(), step.fault.place()))
            .collect();
        assert_eq!(places.len(), 6 * 3 + 2 + 2 * 2 + 3 + 7 * 6 + 2 + 1);
    }

    #[test]
    fn a_zombie_is_away_for_longer_than_its_session() {
        let steps = Deck::new(1, false).round(200);
        let mut zombies = steps.iter().filter(|step| step.fault.kind() == "zombie");
        assert!(zombies.clone().count() > 0);
        assert!(zombies.all(|step| step.lasting > SESSION_TIMEOUT));
    }
}
