//! Keys, values and messages as they are in Redis. All names carry the generation of this layout: another one needs no
//! purge, the old keys expire.
//!
//! Pure. Must never panic over what it reads: anybody may write to Redis.

use std::collections::BTreeMap;

use schemas::rows::WholeLevel;
use serde::{Deserialize, Serialize};

use crate::{
    Batch, Group, Position,
    snapshot::{Place, Snapshot, Source, Values},
};

/// The channel of changes.
pub(super) const CHANGES: &str = "meridian:g2:changes";

/// A channel for one who watches to hear itself on.
pub(super) fn echo_channel(watcher: u64) -> String {
    format!("meridian:g2:echo:{watcher:x}")
}

/// The key of a place. Names of tenants and metrics have no `|`.
pub(super) fn place_key(place: &Place) -> String {
    format!("{}|{}", tenants_key(place), place.tenant)
}

/// The key of the tenants that a bucket has snapshots of.
pub(super) fn tenants_key(place: &Place) -> String {
    let Place {
        bucket_seconds,
        period_seconds,
        resolution,
        metric,
        ..
    } = place;
    format!("meridian:g2:cells|{period_seconds}|{resolution}|{bucket_seconds}|{metric}")
}

const VERSION_DIGITS: usize = 16;

/// The field of a snapshot: which accumulator of which hexagon.
pub(super) fn field(snapshot: &Snapshot) -> String {
    let Source { partition, generation } = snapshot.source;
    format!("{:x}:{partition:x}:{generation:x}", snapshot.cell)
}

/// The value of a snapshot.
pub(super) fn value(snapshot: &Snapshot) -> Vec<u8> {
    let mut value = format!("{:016x}", snapshot.version).into_bytes();
    let Values { count, sum, min, max } = snapshot.values;
    value.extend_from_slice(&count.to_le_bytes());
    for number in [sum, min, max] {
        value.extend_from_slice(&number.to_le_bytes());
    }
    value
}

/// A snapshot from its field and value; none for what is none of ours.
pub(super) fn snapshot(field: &[u8], value: &[u8]) -> Option<Snapshot> {
    let mut parts = std::str::from_utf8(field).ok()?.split(':');
    let mut next = || u64::from_str_radix(parts.next()?, 16).ok();
    let (cell, partition, generation) = (next()?, next()?, next()?);
    let (version, numbers) = value.split_at_checked(VERSION_DIGITS)?;
    let version = u64::from_str_radix(std::str::from_utf8(version).ok()?, 16).ok()?;
    let (numbers, rest) = numbers.as_chunks::<8>();
    let ([count, sum, min, max], []) = (numbers, rest) else {
        return None;
    };
    Some(Snapshot {
        cell,
        source: Source {
            partition: u16::try_from(partition).ok()?,
            generation,
        },
        version,
        values: Values {
            count: u64::from_le_bytes(*count),
            sum: f64::from_le_bytes(*sum),
            min: f64::from_le_bytes(*min),
            max: f64::from_le_bytes(*max),
        },
    })
}

/// What is sent on the channel.
#[derive(Debug, PartialEq)]
pub(super) struct Message {
    /// Who publishes: another one after each start.
    pub(super) publisher: u64,
    /// How many messages it has sent or dropped, this one included unless it is a heartbeat.
    pub(super) sequence: u64,
    /// None: a heartbeat.
    pub(super) batch: Option<Batch>,
    /// Log partitions of everything that it ever told.
    pub(super) partitions: Vec<u16>,
    /// It is the last one: whoever publishes ends, and has told everything.
    pub(super) has_left: bool,
}

#[derive(Serialize, Deserialize)]
struct WireMessage {
    publisher: u64,
    sequence: u64,
    batch: Option<WireBatch>,
}

/// What stands behind a message. Whoever does not know it reads the message alone, and finds none behind older ones.
#[derive(Default, Serialize, Deserialize)]
struct WireRest {
    partitions: Vec<u16>,
    has_left: bool,
}

/// What stands behind the rest, of the batch: partitions of the newest events with versions, and levels (partition, period,
/// resolution, version) that are whole. None behind what older versions write.
#[derive(Default, Serialize, Deserialize)]
struct WireReach {
    newest_of: BTreeMap<u16, u64>,
    whole: Vec<(u16, u32, u8, u64)>,
}

#[derive(Serialize, Deserialize)]
struct WireBatch {
    groups: Vec<WireGroup>,
    newest_ms: Vec<(String, i64)>,
    positions: Vec<WirePosition>,
}

#[derive(Serialize, Deserialize)]
struct WireGroup {
    bucket_seconds: u32,
    period_seconds: u32,
    resolution: u8,
    tenant: String,
    metric: String,
    snapshots: Vec<WireSnapshot>,
}

/// Cell, partition, generation, version, count, sum, minimum, maximum.
type WireSnapshot = (u64, u16, u64, u64, u64, f64, f64, f64);

/// Tenant, device, partition, version, time in Unix milliseconds, latitude and longitude in 1e-7 degrees.
type WirePosition = (String, String, u16, u64, i64, i32, i32);

impl Message {
    pub(super) fn write(self) -> Vec<u8> {
        let reach = self.batch.as_ref().map(WireReach::of).unwrap_or_default();
        let message = WireMessage {
            publisher: self.publisher,
            sequence: self.sequence,
            batch: self.batch.map(WireBatch::from),
        };
        let rest = WireRest {
            partitions: self.partitions,
            has_left: self.has_left,
        };
        postcard::to_stdvec(&(message, rest, reach)).expect("memory takes every write")
    }

    /// None for what is none of ours.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (message, rest): (WireMessage, &[u8]) = postcard::take_from_bytes(bytes).ok()?;
        let (rest, reach): (WireRest, &[u8]) = match rest {
            [] => Default::default(),
            rest => postcard::take_from_bytes(rest).ok()?,
        };
        let reach = match reach {
            [] => WireReach::default(),
            reach => postcard::from_bytes(reach).ok()?,
        };
        Some(Self {
            publisher: message.publisher,
            sequence: message.sequence,
            batch: message.batch.map(|batch| reach.add_to(batch.into())),
            partitions: rest.partitions,
            has_left: rest.has_left,
        })
    }
}

impl WireReach {
    fn of(batch: &Batch) -> Self {
        let flat = |level: &WholeLevel| (level.partition, level.period_seconds, level.resolution, level.version);
        Self {
            newest_of: batch.newest_of.clone(),
            whole: batch.whole.iter().map(flat).collect(),
        }
    }

    fn add_to(self, batch: Batch) -> Batch {
        let level = |(partition, period_seconds, resolution, version)| WholeLevel {
            partition,
            period_seconds,
            resolution,
            version,
        };
        Batch {
            newest_of: self.newest_of,
            whole: self.whole.into_iter().map(level).collect(),
            ..batch
        }
    }
}

impl From<Batch> for WireBatch {
    fn from(batch: Batch) -> Self {
        let group = |group: Group| WireGroup {
            bucket_seconds: group.place.bucket_seconds,
            period_seconds: group.place.period_seconds,
            resolution: group.place.resolution,
            tenant: group.place.tenant.to_string(),
            metric: group.place.metric.to_string(),
            snapshots: group.snapshots.iter().map(flat).collect(),
        };
        let newest_ms = batch.newest_ms.iter().map(|(tenant, ms)| (tenant.to_string(), *ms));
        Self {
            groups: batch.groups.into_iter().map(group).collect(),
            newest_ms: newest_ms.collect(),
            positions: batch.positions.iter().map(flat_position).collect(),
        }
    }
}

fn flat_position(position: Position<'_>) -> WirePosition {
    let Position {
        tenant,
        device,
        partition,
        version,
        ts_ms,
        latitude_e7,
        longitude_e7,
    } = position;
    let (tenant, device) = (tenant.to_owned(), device.to_owned());
    (tenant, device, partition, version, ts_ms, latitude_e7, longitude_e7)
}

fn flat(snapshot: &Snapshot) -> WireSnapshot {
    let Snapshot {
        cell,
        source: Source { partition, generation },
        version,
        values: Values { count, sum, min, max },
    } = *snapshot;
    (cell, partition, generation, version, count, sum, min, max)
}

impl From<WireBatch> for Batch {
    fn from(batch: WireBatch) -> Self {
        let group = |group: WireGroup| Group {
            place: Place {
                bucket_seconds: group.bucket_seconds,
                period_seconds: group.period_seconds,
                resolution: group.resolution,
                tenant: group.tenant.into(),
                metric: group.metric.into(),
            },
            snapshots: group.snapshots.into_iter().map(whole).collect(),
        };
        let newest_ms = batch.newest_ms.into_iter().map(|(tenant, ms)| (tenant.into(), ms));
        Self {
            groups: batch.groups.into_iter().map(group).collect(),
            newest_ms: newest_ms.collect(),
            positions: batch.positions.iter().map(whole_position).collect(),
            ..Self::default()
        }
    }
}

fn whole_position(
    (tenant, device, partition, version, ts_ms, latitude_e7, longitude_e7): &WirePosition,
) -> Position<'_> {
    Position {
        tenant,
        device,
        partition: *partition,
        version: *version,
        ts_ms: *ts_ms,
        latitude_e7: *latitude_e7,
        longitude_e7: *longitude_e7,
    }
}

fn whole((cell, partition, generation, version, count, sum, min, max): WireSnapshot) -> Snapshot {
    Snapshot {
        cell,
        source: Source { partition, generation },
        version,
        values: Values { count, sum, min, max },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn some_snapshot() -> impl Strategy<Value = Snapshot> {
        let numbers = (any::<u64>(), any::<u16>(), any::<u64>(), any::<u64>(), any::<u64>());
        let values = (-1e300..1e300, -1e300..1e300, -1e300..1e300);
        (numbers, values).prop_map(|((cell, partition, generation, version, count), (sum, min, max))| {
            whole((cell, partition, generation, version, count, sum, min, max))
        })
    }

    fn some_position() -> impl Strategy<Value = WirePosition> {
        let names = ("[a-z]{1,3}", "[A-Za-z0-9._:-]{1,9}");
        let numbers = (any::<u16>(), any::<u64>(), any::<i64>(), any::<i32>(), any::<i32>());
        (names, numbers).prop_map(
            |((tenant, device), (partition, version, ts_ms, latitude_e7, longitude_e7))| {
                (tenant, device, partition, version, ts_ms, latitude_e7, longitude_e7)
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            snapshots in proptest::collection::vec(some_snapshot(), 0..20),
            positions in proptest::collection::vec(some_position(), 0..20),
        ) {
            for one in &snapshots {
                prop_assert_eq!(snapshot(field(one).as_bytes(), &value(one)), Some(*one));
            }
            let place = Place {
                bucket_seconds: 60,
                period_seconds: 60,
                resolution: 9,
                tenant: "acme".into(),
                metric: "speed".into(),
            };
            let batch = Batch {
                groups: vec![Group { place, snapshots }],
                newest_ms: vec![("acme".into(), 5)],
                newest_of: BTreeMap::from([(3, 7)]),
                positions: positions.iter().map(whole_position).collect(),
                whole: vec![WholeLevel { partition: 3, period_seconds: 60, resolution: 9, version: 7 }],
            };
            let message = || Message {
                publisher: 1,
                sequence: 2,
                batch: Some(batch.clone()),
                partitions: vec![0, u16::MAX],
                has_left: true,
            };
            let written = message().write();
            prop_assert_eq!(Message::read(&written), Some(message()));
            // Processes of two versions understand each other.
            let old: WireMessage = postcard::from_bytes(&written).unwrap();
            prop_assert_eq!((old.publisher, old.sequence), (1, 2));
            let read = Message::read(&postcard::to_stdvec(&old).unwrap());
            let batch = Batch { newest_of: BTreeMap::new(), whole: Vec::new(), ..batch.clone() };
            prop_assert_eq!(
                read,
                Some(Message { batch: Some(batch), partitions: Vec::new(), has_left: false, ..message() })
            );
        }

        #[test]
        fn rubbish_is_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = Message::read(&bytes);
            let _ = snapshot(&bytes, &bytes);
            prop_assert_eq!(snapshot(b"1:1:1", &bytes[..bytes.len().min(47)]), None);
        }
    }
}
