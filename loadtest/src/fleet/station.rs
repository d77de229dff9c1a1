//! An air-quality station: stays where it is and follows the day.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{
    city::{City, STREETS_FROM_CENTRE, round_to},
    reading::Reading,
};

/// One station.
#[derive(Clone, Debug)]
pub(super) struct Station {
    city: City,
    position: (f64, f64),
    /// Cleaner or dustier than the city.
    dust_factor: f64,
    /// Weather that wanders slowly.
    drift: f64,
}

/// Stations measure air, which changes slowly.
pub(super) const INTERVAL_MS: i64 = 10_000;

impl Station {
    pub(super) fn new(city: City, random: &mut ChaCha8Rng) -> Self {
        let reach = f64::from(STREETS_FROM_CENTRE) * 0.9;
        let position = city.place(random.random_range(-reach..reach), random.random_range(-reach..reach));
        Self {
            city,
            position,
            dust_factor: random.random_range(0.6..1.7),
            drift: 0.0,
        }
    }

    /// Lets time pass, and measures.
    pub(super) fn step(&mut self, now_ms: i64, random: &mut ChaCha8Rng) -> Reading {
        self.drift = (self.drift + random.random_range(-0.05..0.05)).clamp(-1.0, 1.0);
        let warmth = self.city.daily_wave(now_ms, 15.0);
        let temperature = self.city.mean_temperature + 6.0 * warmth + 2.0 * self.drift + random.random_range(-0.1..0.1);
        let humidity = 58.0 - 18.0 * warmth - 8.0 * self.drift + random.random_range(-0.5..0.5);
        let traffic = self.city.activity(now_ms);
        let dust = self.city.dust * self.dust_factor * (0.5 + 0.6 * traffic + 0.25 * self.drift);
        let pm25 = (dust + random.random_range(-0.8..0.8)).max(0.5);
        Reading {
            seq: None,
            position: self.position,
            altitude_m: round_to(self.city.altitude_m, 10.0),
            speed_mps: None,
            heading_deg: None,
            metrics: vec![
                ("pm25", round_to(pm25, 10.0)),
                ("temperature", round_to(temperature, 10.0)),
                ("humidity", round_to(humidity.clamp(5.0, 100.0), 10.0)),
            ],
        }
    }
}
