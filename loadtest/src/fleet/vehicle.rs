//! A vehicle: drives along streets from one address to the next, stops at lights, parks, warms up, runs down.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{
    city::{City, STREETS_FROM_CENTRE, round_to, speed_limit_mps},
    options::FleetOptions,
    reading::Reading,
};

/// What a vehicle is doing.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Doing {
    Driving,
    /// At a light, for so many more seconds.
    Waiting(f64),
    /// At an address, for so many more seconds.
    Parked(f64),
}

/// One vehicle. A step is the time between two of its readings.
#[derive(Clone, Debug)]
pub(super) struct Vehicle {
    city: City,
    /// Crossing last passed.
    from: (i32, i32),
    /// Blocks driven beyond it.
    progress: f64,
    /// Crossing to get to.
    to: (i32, i32),
    doing: Doing,
    speed_mps: f64,
    battery_percent: f64,
    engine_celsius: f64,
    seq: u64,
}

const MOVING_INTERVAL_MS: i64 = 1_000;
const PARKED_INTERVAL_MS: i64 = 5_000;

impl Vehicle {
    pub(super) fn new(city: City, first_ms: i64, random: &mut ChaCha8Rng) -> Self {
        let mut vehicle = Self {
            city,
            from: crossing(random),
            progress: 0.0,
            to: (0, 0),
            doing: Doing::Driving,
            speed_mps: 0.0,
            battery_percent: random.random_range(35.0..100.0),
            engine_celsius: city.mean_temperature,
            // Starting with the time keeps the count rising when the fleet is started again.
            seq: first_ms.unsigned_abs(),
        };
        vehicle.to = crossing(random);
        if random.random::<f64>() > city.activity(first_ms) {
            vehicle.doing = Doing::Parked(random.random_range(10.0..600.0));
        }
        vehicle
    }

    /// Milliseconds until the next reading. The past is told in less detail than the present.
    pub(super) fn interval_ms(&self, now_ms: i64, options: &FleetOptions) -> i64 {
        let interval_ms = match self.doing {
            Doing::Driving | Doing::Waiting(_) => MOVING_INTERVAL_MS,
            Doing::Parked(_) => PARKED_INTERVAL_MS,
        };
        let past_left_ms = options.start_ms - now_ms;
        if past_left_ms <= 0 {
            return interval_ms;
        }
        // No coarse step reaches into the present; whole intervals, so that vehicles stay out of step with each other.
        let until_present_ms = (past_left_ms + MOVING_INTERVAL_MS - 1) / MOVING_INTERVAL_MS * MOVING_INTERVAL_MS;
        interval_ms.max(options.history_interval_ms).min(until_present_ms)
    }

    /// Lets time pass, and measures.
    pub(super) fn step(&mut self, now_ms: i64, elapsed_ms: i64, random: &mut ChaCha8Rng) -> Reading {
        let mut seconds = elapsed_ms as f64 / 1000.0;
        // In pieces of a second, so that coarse steps do not jump over crossings.
        while seconds > 0.0 {
            let piece = seconds.min(1.0);
            self.advance(now_ms, piece, random);
            seconds -= piece;
        }
        self.seq += 1;
        self.reading()
    }

    fn advance(&mut self, now_ms: i64, seconds: f64, random: &mut ChaCha8Rng) {
        self.doing = match self.doing {
            Doing::Waiting(left) if left > seconds => Doing::Waiting(left - seconds),
            Doing::Parked(left) if left > seconds => Doing::Parked(left - seconds),
            Doing::Waiting(_) => Doing::Driving,
            Doing::Parked(_) => {
                self.to = crossing(random);
                Doing::Driving
            }
            Doing::Driving => self.drive(now_ms, seconds, random),
        };
        let (target_mps, target_celsius) = match self.doing {
            Doing::Driving => (speed_limit_mps(self.street()), 88.0),
            Doing::Waiting(_) => (0.0, 84.0),
            Doing::Parked(_) => (0.0, self.city.mean_temperature),
        };
        // Brakes are stronger than engines; heat follows slowly.
        let change = (target_mps - self.speed_mps).clamp(-4.0 * seconds, 2.2 * seconds);
        self.speed_mps = (self.speed_mps + change + random.random_range(-0.3..0.3)).max(0.0);
        if target_mps == 0.0 && self.speed_mps < 0.5 {
            self.speed_mps = 0.0;
        }
        self.engine_celsius += (target_celsius - self.engine_celsius) * 0.004 * seconds;
        self.battery_percent = match self.doing {
            Doing::Parked(_) => (self.battery_percent + 0.012 * seconds).min(100.0),
            Doing::Driving | Doing::Waiting(_) => {
                (self.battery_percent - (0.001 + 0.0004 * self.speed_mps) * seconds).max(4.0)
            }
        };
    }

    fn drive(&mut self, now_ms: i64, seconds: f64, random: &mut ChaCha8Rng) -> Doing {
        let direction = self.direction();
        if direction == (0, 0) {
            // The quieter the hour, the longer the pause.
            let pause_seconds = random.random_range(60.0..420.0) / self.city.activity(now_ms);
            return Doing::Parked(pause_seconds);
        }
        self.progress += self.speed_mps * seconds / self.city.block_m;
        if self.progress < 1.0 {
            return Doing::Driving;
        }
        self.progress = 0.0;
        self.from = (self.from.0 + direction.0, self.from.1 + direction.1);
        if self.direction() != direction || random.random::<f64>() < 0.18 {
            return Doing::Waiting(random.random_range(3.0..35.0));
        }
        Doing::Driving
    }

    /// First along the streets, then across.
    fn direction(&self) -> (i32, i32) {
        let (along, across) = (self.to.0 - self.from.0, self.to.1 - self.from.1);
        if along == 0 {
            (0, across.signum())
        } else {
            (along.signum(), 0)
        }
    }

    /// The number of the street that it drives on.
    fn street(&self) -> i32 {
        if self.direction().0 == 0 {
            self.from.0
        } else {
            self.from.1
        }
    }

    fn reading(&self) -> Reading {
        let direction = self.direction();
        let along = f64::from(self.from.0) + f64::from(direction.0) * self.progress;
        let across = f64::from(self.from.1) + f64::from(direction.1) * self.progress;
        let speed_mps = round_to(self.speed_mps, 10.0);
        Reading {
            seq: Some(self.seq),
            position: self.city.place(along, across),
            altitude_m: round_to(self.city.altitude_m, 10.0),
            speed_mps: Some(speed_mps),
            heading_deg: Some(round_to(self.city.heading_deg(direction), 10.0)),
            metrics: vec![
                ("speed", speed_mps),
                ("battery", round_to(self.battery_percent, 10.0)),
                ("engine_temperature", round_to(self.engine_celsius, 10.0)),
            ],
        }
    }
}

/// A crossing, more often near the centre.
fn crossing(random: &mut ChaCha8Rng) -> (i32, i32) {
    let mut coordinate = || {
        let spread = random.random_range(-1.0..1.0f64) + random.random_range(-1.0..1.0f64);
        (spread / 2.0 * f64::from(STREETS_FROM_CENTRE)).round() as i32
    };
    (coordinate(), coordinate())
}
