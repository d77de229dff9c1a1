//! The domain types: a reading is what a device said, an event is a reading that we received.
//!
//! Texts are borrowed from the bytes they came in where possible. These types are not serializable on purpose:
//! versioned wire types convert into them ([`crate::payload`], [`crate::record`]).

use std::borrow::Cow;

use crate::Replay;

/// Metrics of one event, in order of appearance.
pub type Metrics<'a> = Vec<Metric<'a>>;

/// Attributes of one event, in order of appearance.
pub type Attributes<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// One measured quantity.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric<'a> {
    /// Name, of the grammar in [`crate::name::is_metric_name`].
    pub name: Cow<'a, str>,
    /// Value, finite.
    pub value: f64,
}

/// A place on WGS 84, kept to 1e-7 degrees (about a centimetre).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    latitude_e7: i32,
    longitude_e7: i32,
}

impl Position {
    /// Degrees to units of 1e-7 degrees.
    const SCALE: f64 = 1e7;

    /// The nearest kept position. None when a coordinate is not finite or out of range.
    #[must_use]
    pub fn from_degrees(latitude: f64, longitude: f64) -> Option<Self> {
        let in_range = latitude.abs() <= 90.0 && longitude.abs() <= 180.0;
        in_range.then(|| Self {
            latitude_e7: (latitude * Self::SCALE).round() as i32,
            longitude_e7: (longitude * Self::SCALE).round() as i32,
        })
    }

    /// From units of 1e-7 degrees. None when out of range.
    #[must_use]
    pub fn from_e7(latitude_e7: i32, longitude_e7: i32) -> Option<Self> {
        let in_range = latitude_e7.abs() <= 900_000_000 && longitude_e7.abs() <= 1_800_000_000;
        in_range.then_some(Self {
            latitude_e7,
            longitude_e7,
        })
    }

    /// Latitude in units of 1e-7 degrees.
    #[must_use]
    pub fn latitude_e7(self) -> i32 {
        self.latitude_e7
    }

    /// Longitude in units of 1e-7 degrees.
    #[must_use]
    pub fn longitude_e7(self) -> i32 {
        self.longitude_e7
    }

    /// Latitude in degrees: the quotient, correctly rounded, as SQL computes it from the stored integer.
    #[must_use]
    pub fn latitude(self) -> f64 {
        f64::from(self.latitude_e7) / Self::SCALE
    }

    /// Longitude in degrees.
    #[must_use]
    pub fn longitude(self) -> f64 {
        f64::from(self.longitude_e7) / Self::SCALE
    }
}

/// How a device moves and how well it knows its place. All finite.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Motion {
    /// Altitude in metres.
    pub altitude_m: Option<f64>,
    /// Speed over ground in metres a second.
    pub speed_mps: Option<f64>,
    /// Heading in degrees from north, clockwise.
    pub heading_deg: Option<f64>,
    /// Radius of uncertainty of the position in metres.
    pub accuracy_m: Option<f64>,
}

/// What a device said in one event.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading<'a> {
    /// Event time that the device claims, Unix milliseconds.
    pub claimed_ts_ms: Option<i64>,
    /// Nanoseconds of the claim beyond its milliseconds.
    pub claimed_submilli_ns: u32,
    /// The device's own count, rising.
    pub seq: Option<u64>,
    /// Where it was.
    pub position: Option<Position>,
    /// How it moved.
    pub motion: Motion,
    /// What it measured; names are distinct.
    pub metrics: Metrics<'a>,
    /// Texts beside the measurements.
    pub attributes: Attributes<'a>,
}

/// Marks one receipt of a message, for events that carry no `ts` of their own. Where there is no `seq` either, the
/// identity is the delivery, so that a redelivery counts once and two equal messages count twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DeliveryMark {
    /// MQTT packet identifier; 0 for QoS 0.
    pub packet_id: u16,
    /// The broker said that it may have sent the message before (DUP).
    pub redelivered: bool,
    /// Which connection received it, see [`DeliveryMark::run_of`].
    pub run: u64,
    /// Count of messages received over this connection.
    pub number: u64,
    /// Place of the event in its batch message; 0 outside a batch.
    pub index: u32,
}

impl DeliveryMark {
    /// Bits of a run that differ from connection to connection.
    const CONNECTION_BITS: u32 = 36;
    /// Bits of a run that all connections with one client id have in common. Both together are exact as a number of JSON.
    const CLIENT_BITS: u32 = 16;

    /// Names a connection, from a hash of its client id, which those after it have too, and a hash of something that no other
    /// connection has.
    #[must_use]
    pub fn run_of(client_hash: u64, connection_hash: u64) -> u64 {
        let lowest = |hash: u64, bits: u32| hash & ((1 << bits) - 1);
        (lowest(client_hash, Self::CLIENT_BITS) << Self::CONNECTION_BITS)
            | lowest(connection_hash, Self::CONNECTION_BITS)
    }

    /// What a run has of the hash of its client id. Of the clients of one broker hardly two have the same.
    #[must_use]
    pub fn client_of(run: u64) -> u64 {
        run >> Self::CONNECTION_BITS
    }
}

/// How a message reached us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt<'a> {
    /// From the topic.
    pub tenant: &'a str,
    /// From the topic.
    pub device: &'a str,
    /// Name of the MQTT broker in the configuration.
    pub broker: &'a str,
    /// Time of receipt, Unix milliseconds.
    pub received_at_ms: i64,
    /// Which delivery.
    pub delivery: DeliveryMark,
    /// It was received before, refused, and published again.
    pub replay: Option<&'a Replay<'a>>,
}

/// A reading that we received: the unit that is counted exactly once.
#[derive(Clone, Debug, PartialEq)]
pub struct Event<'a> {
    /// Owner of the device.
    pub tenant: Cow<'a, str>,
    /// Who said it.
    pub device: Cow<'a, str>,
    /// Event time, Unix milliseconds: as claimed if believable, else the time of receipt.
    pub ts_ms: i64,
    /// The time as claimed, where it was not believed. Present exactly when the clock is suspect.
    pub device_ts_ms: Option<i64>,
    /// Nanoseconds of the claimed time beyond its milliseconds: part of the identity, and of nothing else.
    pub ts_submilli_ns: u32,
    /// The device's own count.
    pub seq: Option<u64>,
    /// Where it was, if it said so.
    pub position: Option<Position>,
    /// How it moved.
    pub motion: Motion,
    /// What it measured.
    pub metrics: Metrics<'a>,
    /// Texts beside the measurements.
    pub attributes: Attributes<'a>,
    /// Time of receipt, Unix milliseconds.
    pub received_at_ms: i64,
    /// Which MQTT broker it came through.
    pub broker: Cow<'a, str>,
    /// True when the device claimed no time, so that `ts_ms` is the time of receipt.
    pub ts_assigned: bool,
    /// Which delivery it was: present exactly when the device claimed no time.
    pub delivery: Option<DeliveryMark>,
    /// The dead letter that it was before, if it was one.
    pub replay_of: Option<Cow<'a, str>>,
}

impl<'a> Event<'a> {
    /// Joins what was said with how it was received.
    ///
    /// A claimed time more than `future_skew_ms_max` ahead of receipt is not believed: `ts_ms` becomes the time of
    /// receipt, and the claim is kept in `device_ts_ms`. What was refused and published again is judged as of its first
    /// receipt, so that the event is the same whenever it is published again.
    #[must_use]
    pub fn new(reading: Reading<'a>, receipt: Receipt<'a>, future_skew_ms_max: i64) -> Self {
        let first_received_at_ms = receipt.replay.map_or(receipt.received_at_ms, |replay| {
            replay.received_at_ms.min(receipt.received_at_ms)
        });
        let latest_believable = first_received_at_ms.saturating_add(future_skew_ms_max);
        let disbelieved = reading.claimed_ts_ms.filter(|claim| *claim > latest_believable);
        let believed = reading.claimed_ts_ms.filter(|claim| *claim <= latest_believable);
        let ts_assigned = reading.claimed_ts_ms.is_none();
        Self {
            tenant: Cow::Borrowed(receipt.tenant),
            device: Cow::Borrowed(receipt.device),
            ts_ms: believed.unwrap_or(first_received_at_ms),
            device_ts_ms: disbelieved,
            ts_submilli_ns: reading.claimed_submilli_ns,
            seq: reading.seq,
            position: reading.position,
            motion: reading.motion,
            metrics: reading.metrics,
            attributes: reading.attributes,
            received_at_ms: receipt.received_at_ms,
            broker: Cow::Borrowed(receipt.broker),
            ts_assigned,
            delivery: ts_assigned.then_some(receipt.delivery),
            replay_of: receipt.replay.map(|replay| Cow::Borrowed(&*replay.of)),
        }
    }

    /// True when the device's clock was too far ahead to be believed.
    #[must_use]
    pub fn clock_suspect(&self) -> bool {
        self.device_ts_ms.is_some()
    }

    /// The time that the device claimed, believed or not.
    #[must_use]
    pub fn claimed_ts_ms(&self) -> Option<i64> {
        self.device_ts_ms.or((!self.ts_assigned).then_some(self.ts_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECEIVED_AT_MS: i64 = 1_700_000_000_000;

    fn receive(claimed_ts_ms: Option<i64>, seq: Option<u64>) -> Event<'static> {
        receive_as(claimed_ts_ms, seq, None)
    }

    fn receive_as(
        claimed_ts_ms: Option<i64>,
        seq: Option<u64>,
        replay: Option<&'static Replay<'static>>,
    ) -> Event<'static> {
        let delivery = DeliveryMark {
            packet_id: 7,
            redelivered: false,
            run: 1,
            number: 1,
            index: 0,
        };
        let receipt = Receipt {
            tenant: "acme",
            device: "bus",
            broker: "edge",
            received_at_ms: RECEIVED_AT_MS,
            delivery,
            replay,
        };
        Event::new(
            Reading {
                claimed_ts_ms,
                seq,
                ..Reading::default()
            },
            receipt,
            60_000,
        )
    }

    #[test]
    fn a_claim_up_to_the_allowed_skew_is_believed() {
        let event = receive(Some(RECEIVED_AT_MS + 60_000), None);
        assert_eq!((event.ts_ms, event.clock_suspect()), (RECEIVED_AT_MS + 60_000, false));
    }

    #[test]
    fn a_claim_further_ahead_is_kept_beside_the_time_of_receipt() {
        let event = receive(Some(RECEIVED_AT_MS + 60_001), None);
        assert_eq!(
            (event.ts_ms, event.device_ts_ms),
            (RECEIVED_AT_MS, Some(RECEIVED_AT_MS + 60_001))
        );
        assert_eq!(event.claimed_ts_ms(), Some(RECEIVED_AT_MS + 60_001));
    }

    #[test]
    fn only_an_event_without_a_time_of_its_own_carries_its_delivery() {
        assert!(receive(None, None).delivery.is_some());
        assert!(receive(None, Some(1)).delivery.is_some());
        assert!(receive(Some(1), None).delivery.is_none());
    }

    #[test]
    fn what_is_published_again_has_the_time_of_its_first_receipt() {
        static LETTER: Replay<'static> = Replay {
            of: Cow::Borrowed("run-7"),
            count: 1,
            received_at_ms: RECEIVED_AT_MS - 86_400_000,
        };
        static FORGED: Replay<'static> = Replay {
            of: Cow::Borrowed("run-7"),
            count: 1,
            received_at_ms: RECEIVED_AT_MS + 86_400_000,
        };
        let event = receive_as(None, None, Some(&LETTER));
        assert_eq!((event.ts_ms, event.ts_assigned), (LETTER.received_at_ms, true));
        assert_eq!(event.received_at_ms, RECEIVED_AT_MS);
        assert_eq!(event.replay_of.as_deref(), Some("run-7"));
        let claimed = LETTER.received_at_ms + 3_600_000;
        let event = receive_as(Some(claimed), None, Some(&LETTER));
        assert_eq!(
            (event.ts_ms, event.device_ts_ms),
            (LETTER.received_at_ms, Some(claimed)),
            "not believed then, so not believed now"
        );
        assert_eq!(receive_as(None, None, Some(&FORGED)).ts_ms, RECEIVED_AT_MS);
    }

    #[test]
    fn kept_positions_are_exact_in_both_directions() {
        let position = Position::from_degrees(37.7749, -122.4194).expect("in range");
        assert_eq!(
            (position.latitude_e7(), position.longitude_e7()),
            (377_749_000, -1_224_194_000)
        );
        assert_eq!((position.latitude(), position.longitude()), (37.7749, -122.4194));
        assert_eq!(Position::from_degrees(90.1, 0.0), None);
        assert_eq!(Position::from_degrees(0.0, -180.1), None);
        assert_eq!(Position::from_degrees(f64::NAN, 0.0), None);
    }
}
