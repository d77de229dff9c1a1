//! A device with its flaws: a clock that is a little off, a connection with gaps, messages that overtake each other or
//! come twice, and now and then a bad one.

use bytes::Bytes;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{
    Planned,
    city::CITIES,
    options::FleetOptions,
    station::{self, Station},
    vehicle::Vehicle,
};
use crate::{
    limits::TUNNEL_READINGS_MAX,
    message::{Kind, Message, topic},
    poison::PoisonKind,
};

/// The vehicle with this number has a clock that is hours ahead.
const FAST_CLOCK_VEHICLE: u32 = 3;
/// By so much.
const FAST_CLOCK_MS: i64 = 3 * 3_600_000;

#[derive(Clone, Debug)]
enum Body {
    Vehicle(Vehicle),
    Station(Station),
}

/// One device of the fleet.
#[derive(Clone, Debug)]
pub(super) struct Device {
    name: String,
    topic: Bytes,
    body: Body,
    random: ChaCha8Rng,
    /// When it measures next, by the true clock.
    pub(super) next_ms: i64,
    last_ms: i64,
    /// Its own clock minus the true one.
    clock_error_ms: i64,
    /// When it leaves the tunnel that it is in.
    tunnel_until_ms: Option<i64>,
    kept_back: Vec<String>,
    poison_count: u64,
}

impl Device {
    /// The device with this number, of all vehicles and stations together. It depends on nothing but seed and number,
    /// so a larger fleet has the smaller one in it.
    pub(super) fn new(options: &FleetOptions, index: u32) -> Self {
        let is_vehicle = index < options.vehicles;
        let number = if is_vehicle { index } else { index - options.vehicles };
        let stream = u64::from(number) << 1 | u64::from(!is_vehicle);
        let mut random = ChaCha8Rng::seed_from_u64(options.seed);
        random.set_stream(stream);
        let city = CITIES[number as usize % CITIES.len()];
        let first_ms = options.start_ms - options.history_ms;
        let kind = if is_vehicle { "van" } else { "air" };
        let name = format!("{kind}-{}-{number:03}", city.name);
        let body = if is_vehicle {
            Body::Vehicle(Vehicle::new(city, first_ms, &mut random))
        } else {
            Body::Station(Station::new(city, &mut random))
        };
        // Devices do not all measure in the same instant.
        let offset_ms = random.random_range(1..station::INTERVAL_MS);
        let has_fast_clock = is_vehicle && number == FAST_CLOCK_VEHICLE;
        let skew_ms = random.random_range(-2_000..2_000);
        Self {
            topic: topic(&options.tenant, &name),
            name,
            body,
            random,
            next_ms: first_ms + offset_ms,
            last_ms: first_ms,
            clock_error_ms: if has_fast_clock { FAST_CLOCK_MS } else { skew_ms },
            tunnel_until_ms: None,
            kept_back: Vec::new(),
            poison_count: 0,
        }
    }

    /// Measures at [`Device::next_ms`], and says what is sent when.
    pub(super) fn step(&mut self, options: &FleetOptions, plan: &mut impl FnMut(Planned)) {
        let now_ms = self.next_ms;
        let elapsed_ms = now_ms - self.last_ms;
        let (reading, interval_ms) = match &mut self.body {
            Body::Vehicle(vehicle) => (
                vehicle.step(now_ms, elapsed_ms, &mut self.random),
                vehicle.interval_ms(now_ms, options),
            ),
            Body::Station(station) => (station.step(now_ms, &mut self.random), station::INTERVAL_MS),
        };
        (self.last_ms, self.next_ms) = (now_ms, now_ms + interval_ms);
        let json = reading.to_json(now_ms + self.clock_error_ms);
        if !self.is_in_tunnel(now_ms, options) {
            self.send(now_ms, json, options, plan);
            return;
        }
        if self.kept_back.len() == TUNNEL_READINGS_MAX {
            self.kept_back.remove(0);
        }
        self.kept_back.push(json);
    }

    fn is_in_tunnel(&mut self, now_ms: i64, options: &FleetOptions) -> bool {
        let enters = matches!(self.body, Body::Vehicle(_)) && self.random.random::<f64>() < options.tunnel_share;
        if self.tunnel_until_ms.is_none() && enters {
            self.tunnel_until_ms = Some(now_ms + self.random.random_range(20_000..90_000));
        }
        let inside = self.tunnel_until_ms.is_some_and(|until_ms| now_ms < until_ms);
        if !inside {
            self.tunnel_until_ms = None;
        }
        inside
    }

    fn send(&mut self, now_ms: i64, json: String, options: &FleetOptions, plan: &mut impl FnMut(Planned)) {
        let mut planned = |due_ms, payload: Bytes, kind| {
            let topic = self.topic.clone();
            let message = Message { topic, payload, kind };
            plan(Planned { due_ms, message });
        };
        if !self.kept_back.is_empty() {
            // Out of the tunnel: what was kept back comes first, in one message.
            let batch = format!("[{}]", std::mem::take(&mut self.kept_back).join(","));
            planned(now_ms, batch.into(), Kind::Batch);
        }
        let payload = Bytes::from(json);
        if self.random.random::<f64>() < options.late_share {
            let delay_ms = self.random.random_range(1_500..6_000);
            planned(now_ms + delay_ms, payload.clone(), Kind::Late);
        } else {
            planned(now_ms, payload.clone(), Kind::Valid);
        }
        if self.random.random::<f64>() < options.duplicate_share {
            let delay_ms = self.random.random_range(6_000..10_000);
            planned(now_ms + delay_ms, payload, Kind::Duplicate);
        }
        if self.random.random::<f64>() < options.poison_share {
            let kind = PoisonKind::ALL[self.random.random_range(0..PoisonKind::ALL.len())];
            self.poison_count += 1;
            let mark = now_ms.unsigned_abs() * 1_000 + self.poison_count % 1_000;
            let message = kind.message(&options.tenant, &self.name, mark);
            plan(Planned {
                due_ms: now_ms,
                message,
            });
        }
    }
}
