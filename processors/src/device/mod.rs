//! What is known of each device of a partition: where it was last, what it said last, which of its counts were seen.

pub mod clock;
pub mod table;

use h3o::{LatLng, Resolution};
use schemas::{
    Event, Position,
    rows::{COORDINATE_UNKNOWN_E7, DeviceRows},
};
use serde::{Deserialize, Serialize};

use self::clock::ClockQuality;
use crate::{
    dedupe::sequence::SequenceWindow,
    rollup::accumulator::Origin,
    symbols::{Symbol, Symbols},
};

/// Metrics remembered of one device; past it the one with the oldest value gives way.
const METRICS_PER_DEVICE_MAX: usize = 256;

/// A metric's newest value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LastMetric {
    /// Tenant and metric.
    pub symbol: Symbol,
    /// Event time of the value, Unix milliseconds.
    pub ts_ms: i64,
    /// The value.
    pub value: f64,
}

/// A place and its cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Latitude in 1e-7 degrees.
    pub latitude_e7: i32,
    /// Longitude in 1e-7 degrees.
    pub longitude_e7: i32,
    /// H3 cell at the base resolution.
    pub cell: u64,
}

impl Place {
    /// A position in its cell of the base resolution.
    ///
    /// # Panics
    /// When there is no such resolution.
    #[must_use]
    pub fn of(position: Position, base_resolution: u8) -> Self {
        let coordinates = LatLng::new(position.latitude(), position.longitude()).expect("kept positions are finite");
        let resolution = Resolution::try_from(base_resolution).expect("parameters are validated");
        Self {
            latitude_e7: position.latitude_e7(),
            longitude_e7: position.longitude_e7(),
            cell: coordinates.to_cell(resolution).into(),
        }
    }

    /// The same position in a cell of the base resolution, which may be another one than it was.
    #[must_use]
    pub fn at_resolution(self, base_resolution: u8) -> Self {
        const RESOLUTION_SHIFT: u32 = 52;
        if self.cell >> RESOLUTION_SHIFT & 0xf == u64::from(base_resolution) {
            return self;
        }
        let position = Position::from_e7(self.latitude_e7, self.longitude_e7);
        position.map_or(self, |position| Self::of(position, base_resolution))
    }

    /// Whether it is that position.
    #[must_use]
    pub fn is_at(&self, position: Position) -> bool {
        (self.latitude_e7, self.longitude_e7) == (position.latitude_e7(), position.longitude_e7())
    }
}

/// What is known of one device.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DeviceState {
    /// Hash of the key, for distinct counts.
    pub hash: u32,
    /// Counts seen.
    pub sequence: SequenceWindow,
    /// Newest place known, by event time.
    pub place: Option<Place>,
    /// Event time of that place, Unix milliseconds.
    pub place_ts_ms: i64,
    /// Newest value of each metric.
    pub metrics: Vec<LastMetric>,
    /// Event time of the newest event, Unix milliseconds.
    pub ts_ms: i64,
    /// Its time of receipt.
    pub received_at_ms: i64,
    /// Its count; 0 where absent.
    pub seq: u64,
    /// Its clock was not believed.
    pub clock_suspect: bool,
    /// Broker that it came through.
    pub broker: String,
    /// Its attributes.
    pub attributes: Vec<(String, String)>,
    /// Offset of the last event that changed anything here.
    pub last_offset: u64,
    /// How good its clock is. Stands beside the devices in a checkpoint: see `task::checkpoint`.
    #[serde(skip)]
    pub clock: ClockQuality,
    /// Changed since it was last written.
    #[serde(skip)]
    pub dirty: bool,
}

impl DeviceState {
    /// A device not heard of before.
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        Self {
            hash: xxhash_rust::xxh3::xxh3_64(key) as u32,
            ts_ms: i64::MIN,
            place_ts_ms: i64::MIN,
            ..Self::default()
        }
    }

    /// The time of its newest event, as far as its clock is believed. None before its first event.
    #[must_use]
    pub fn believed_ms(&self) -> Option<i64> {
        (self.ts_ms != i64::MIN).then(|| self.ts_ms.min(self.received_at_ms))
    }

    /// The symbol of a metric of this device. `hint` is where it probably stands in the list.
    pub fn metric_symbol(&mut self, hint: usize, tenant: &str, metric: &str, symbols: &mut Symbols) -> (usize, Symbol) {
        let is_it = |last: &LastMetric| symbols.names(last.symbol).1 == metric;
        if let Some(last) = self.metrics.get(hint).filter(|last| is_it(last)) {
            return (hint, last.symbol);
        }
        if let Some(index) = self.metrics.iter().position(is_it) {
            return (index, self.metrics[index].symbol);
        }
        let symbol = symbols.intern(tenant, metric);
        let unset = LastMetric {
            symbol,
            ts_ms: i64::MIN,
            value: 0.0,
        };
        if self.metrics.len() == METRICS_PER_DEVICE_MAX {
            let oldest = (0..self.metrics.len())
                .min_by_key(|index| self.metrics[*index].ts_ms)
                .expect("it is full");
            self.metrics[oldest] = unset;
            return (oldest, symbol);
        }
        self.metrics.push(unset);
        (self.metrics.len() - 1, symbol)
    }

    /// Reads a little of everything that [`Self::update`] and its neighbours use, to have it fetched. The result means
    /// nothing.
    #[must_use]
    pub fn peek(&self) -> u64 {
        let metric = self.metrics.first().map_or(0, |last| last.ts_ms as u64);
        let broker = self.broker.as_bytes().first().map_or(0, |byte| u64::from(*byte));
        self.sequence.peek() ^ metric ^ broker ^ self.last_offset ^ self.place_ts_ms as u64
    }

    /// Takes over what an event says of the device itself; older events change nothing that a newer one said.
    pub fn update(&mut self, event: &Event<'_>, offset: u64) {
        self.last_offset = offset;
        // The receipt of what was published again says nothing of the device's clock.
        if let (Some(claimed_ts_ms), None) = (event.claimed_ts_ms(), &event.replay_of) {
            self.clock
                .note(claimed_ts_ms, event.received_at_ms, !event.clock_suspect());
        }
        if event.ts_ms < self.ts_ms {
            return;
        }
        self.ts_ms = event.ts_ms;
        self.received_at_ms = event.received_at_ms;
        self.seq = event.seq.unwrap_or(0);
        self.clock_suspect = event.clock_suspect();
        if self.broker != event.broker {
            self.broker = event.broker.to_string();
        }
        let unchanged = self.attributes.len() == event.attributes.len()
            && self
                .attributes
                .iter()
                .zip(&event.attributes)
                .all(|(old, new)| old.0 == new.0 && old.1 == new.1);
        if !unchanged {
            self.attributes = event
                .attributes
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .collect();
        }
    }

    /// Writes the row of the device. `key` is `tenant/device`.
    pub fn write(&self, key: &str, symbols: &Symbols, origin: Origin, rows: &mut DeviceRows) {
        let (tenant, device) = key
            .split_once('/')
            .expect("keys are checked when the device is first seen");
        rows.tenant.push(tenant);
        rows.device.push(device);
        rows.partition.push(origin.partition);
        rows.version.push(origin.version(self.last_offset));
        rows.ts_ms.push(self.ts_ms);
        rows.received_at_ms.push(self.received_at_ms);
        rows.latitude_e7
            .push(self.place.map_or(COORDINATE_UNKNOWN_E7, |place| place.latitude_e7));
        rows.longitude_e7
            .push(self.place.map_or(COORDINATE_UNKNOWN_E7, |place| place.longitude_e7));
        rows.cell.push(self.place.map_or(0, |place| place.cell));
        rows.seq.push(self.seq);
        rows.clock_suspect.push(u8::from(self.clock_suspect));
        rows.clock_claim_count.push(self.clock.claim_count);
        rows.clock_skew_ms.push(self.clock.skew_ms);
        rows.clock_future_count.push(self.clock.future_count);
        rows.clock_past_count.push(self.clock.past_count);
        rows.clock_seen_at_ms.push(self.clock.seen_at_ms);
        rows.broker.push(&self.broker);
        for last in &self.metrics {
            rows.metric_names.push(symbols.names(last.symbol).1);
            rows.metric_values.push(last.value);
        }
        rows.metric_ends.push(rows.metric_values.len() as i32);
        for (name, value) in &self.attributes {
            rows.attribute_names.push(name);
            rows.attribute_values.push(value);
        }
        rows.attribute_ends.push(rows.attribute_names.ends.len() as i32);
    }
}
