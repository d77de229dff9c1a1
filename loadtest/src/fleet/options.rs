//! What a fleet looks like.

/// How many devices, of whom, from when on. The same options give the same bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct FleetOptions {
    /// Everything that is random follows from this.
    pub seed: u64,
    /// Vehicles, spread over all cities.
    pub vehicles: u32,
    /// Air-quality stations, spread over all cities.
    pub stations: u32,
    /// Owner of all devices.
    pub tenant: String,
    /// Unix milliseconds of now: what is due later is the present, sent in real time.
    pub start_ms: i64,
    /// How much of the past is told first.
    pub history_ms: i64,
    /// In the past, milliseconds between readings of a vehicle.
    pub history_interval_ms: i64,
    /// Share of messages that are sent twice, 0 to 1.
    pub duplicate_share: f64,
    /// Share of messages that are overtaken by later ones, 0 to 1.
    pub late_share: f64,
    /// Share of bad messages, 0 to 1.
    pub poison_share: f64,
    /// Chance of a vehicle to enter a tunnel, for each reading, 0 to 1.
    pub tunnel_share: f64,
}

impl FleetOptions {
    /// The demo: about 200 messages a second when the cities are busy, with the last quarter of an hour told first.
    #[must_use]
    pub fn demo(seed: u64, start_ms: i64) -> Self {
        Self {
            seed,
            vehicles: 200,
            stations: 60,
            tenant: "demo".to_owned(),
            start_ms,
            history_ms: 15 * 60 * 1000,
            history_interval_ms: 10_000,
            duplicate_share: 0.01,
            late_share: 0.01,
            poison_share: 0.001,
            tunnel_share: 0.0008,
        }
    }
}
