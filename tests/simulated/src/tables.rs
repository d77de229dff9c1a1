//! A model of ClickHouse: rows replace rows of the same key, the newest version holds. It is slow, down, answers with an
//! error after it has inserted, inserts some tables and not others, and may be left in the middle of an insert.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use processors::{rollup::accumulator::Origin, runner::RowSink};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schemas::{
    record::EVENTS_TOPIC,
    rows::{LedgerRows, ListColumn, MeasurementRows, RollupRows, Rows, TextColumn, WholeLevel},
};

use crate::trace::Trace;

/// Pause of the sink before it sends the same bytes again.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Key of `measurement_log`, as far as it tells rows apart.
pub(crate) type MeasurementKey = (u16, u64, String);
/// Partition, period and resolution.
type LevelKey = (u16, u32, u8);
/// Key of a cell: tenant, metric, period, resolution, bucket, cell.
pub(crate) type CellKey = (String, String, u32, u8, u32, u64);

/// A row of `measurement_log`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Measurement {
    pub(crate) tenant: String,
    pub(crate) device: String,
    pub(crate) ts_ms: i64,
    pub(crate) device_ts_ms: i64,
    pub(crate) received_at_ms: i64,
    pub(crate) value: f64,
    pub(crate) cell: u64,
}

/// A row of `rollup_log`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Snapshot {
    pub(crate) version: u64,
    pub(crate) count: u64,
    pub(crate) sum: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

/// What the tables hold.
#[derive(Default)]
pub(crate) struct Contents {
    pub(crate) measurements: BTreeMap<MeasurementKey, Measurement>,
    /// By cell, partition and generation.
    pub(crate) rollups: BTreeMap<(CellKey, u16, u64), Snapshot>,
    /// Payload by identity.
    pub(crate) dead_letters: BTreeMap<String, Vec<u8>>,
    levels: BTreeMap<LevelKey, Level>,
}

/// What a rollup level has of a partition.
#[derive(Default)]
struct Level {
    /// Of all its snapshots.
    count: u64,
    /// From which offset on it has everything; none while no ledger has told.
    since: Option<u64>,
}

/// How inserts go. All zero: at once and well.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct InsertFaults {
    pub(crate) is_down: bool,
    pub(crate) latency_ms_max: u64,
    /// Chance that a table is not inserted, and the insert of all fails.
    pub(crate) refused: f64,
    /// Chance that a table is inserted and the answer is an error.
    pub(crate) ambiguous: f64,
}

/// The tables. Clones share them.
#[derive(Clone)]
pub(crate) struct Tables {
    shared: Arc<Mutex<Inner>>,
    trace: Trace,
}

struct Inner {
    contents: Contents,
    faults: InsertFaults,
    random: ChaCha8Rng,
}

impl Tables {
    pub(crate) fn new(seed: u64, trace: &Trace) -> Self {
        let inner = Inner {
            contents: Contents::default(),
            faults: InsertFaults::default(),
            random: ChaCha8Rng::seed_from_u64(seed),
        };
        Self {
            shared: Arc::new(Mutex::new(inner)),
            trace: trace.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_faults(&self, faults: InsertFaults) {
        self.lock().faults = faults;
    }

    pub(crate) fn with<T>(&self, look: impl FnOnce(&Contents) -> T) -> T {
        look(&self.lock().contents)
    }

    /// One attempt to insert the rows, table by table.
    async fn attempt(&self, tables: &[Rows]) -> Result<(), ()> {
        for rows in tables {
            let latency_ms = {
                let mut inner = self.lock();
                let max = inner.faults.latency_ms_max;
                inner.random.random_range(0..=max)
            };
            tokio::time::sleep(Duration::from_millis(latency_ms)).await;
            tokio::task::yield_now().await;
            let mut inner = self.lock();
            let faults = inner.faults;
            if faults.is_down || inner.random.random_bool(faults.refused) {
                drop(inner);
                self.trace.fault("insert refused", "");
                return Err(());
            }
            let is_ambiguous = inner.random.random_bool(faults.ambiguous);
            let inserted = inner.contents.insert(rows);
            drop(inner);
            if let Err(violation) = inserted {
                self.trace.violation(violation);
            }
            if is_ambiguous {
                self.trace.fault("insert ambiguous", "");
                return Err(());
            }
        }
        Ok(())
    }
}

impl RowSink for Tables {
    type Encoded = Rows;
    type Error = Infallible;

    fn encode(&self, rows: Rows) -> Rows {
        rows
    }

    async fn insert(&self, batches: Vec<Rows>) -> Result<(), Infallible> {
        let whole: Vec<WholeLevel> = batches.iter().flat_map(|rows| rows.whole.iter().copied()).collect();
        let tables: Vec<Rows> = batches.into_iter().flat_map(by_table).collect();
        while self.attempt(&tables).await.is_err() {
            tokio::time::sleep(RETRY_PAUSE).await;
        }
        let checked = whole
            .iter()
            .try_for_each(|whole| self.lock().contents.check_whole(whole));
        if let Err(violation) = checked {
            self.trace.violation(violation);
        }
        Ok(())
    }
}

/// One INSERT for each table, in the order in which the sink sends them.
fn by_table(rows: Rows) -> impl Iterator<Item = Rows> {
    let Rows {
        measurements,
        rollups,
        devices,
        dead_letters,
        ledger,
        whole: _,
    } = rows;
    let tables = [
        Rows {
            measurements,
            ..Rows::default()
        },
        Rows {
            rollups,
            ..Rows::default()
        },
        Rows {
            devices,
            ..Rows::default()
        },
        Rows {
            dead_letters,
            ..Rows::default()
        },
        Rows {
            ledger,
            ..Rows::default()
        },
    ];
    tables.into_iter().filter(|rows| !rows.is_empty())
}

fn texts(column: &TextColumn) -> Vec<String> {
    let texts = column.iter().map(|text| String::from_utf8_lossy(text).into_owned());
    texts.collect()
}

fn list<T>(column: &ListColumn<T>, index: usize) -> &[T] {
    let start = index.checked_sub(1).map_or(0, |before| column.ends[before] as usize);
    &column.items[start..column.ends[index] as usize]
}

impl Contents {
    /// Replaces by key. A row that says something else under the same key and version is a violation: which of the two
    /// stays would be chance.
    fn insert(&mut self, rows: &Rows) -> Result<(), String> {
        self.insert_measurements(&rows.measurements)?;
        self.insert_rollups(&rows.rollups)?;
        let letters = &rows.dead_letters;
        for (id, payload) in texts(&letters.id).into_iter().zip(letters.payload.iter()) {
            self.dead_letters.insert(id, payload.to_vec());
        }
        self.check_ledger(&rows.ledger)
    }

    /// Whatever the ledger says is there when it says so, and nothing else: whoever wrote it, and after whatever crash.
    fn check_ledger(&mut self, rows: &LedgerRows) -> Result<(), String> {
        for (index, topic) in texts(&rows.topic).into_iter().enumerate() {
            let partition = rows.partition[index];
            let (first, last) = (rows.first_offset[index], rows.last_offset[index]);
            let parts = rows.events[index] + rows.duplicates[index] + rows.dead_letters[index];
            if rows.records[index] != last + 1 - first || rows.records[index] != parts {
                return Err(format!(
                    "the ledger of {topic}/{partition} counts {} records from {first} to {last}, and {parts} by kind",
                    rows.records[index]
                ));
            }
            if topic != EVENTS_TOPIC {
                continue;
            }
            self.note_levels(partition, rows, index);
            let range = (partition, first, String::new())..(partition, last + 1, String::new());
            let found = self.measurements.range(range).count() as u64;
            if found != rows.measurements[index] {
                return Err(format!(
                    "the ledger of {topic}/{partition} counts {} measurements from {first} to {last}, and there are {found}",
                    rows.measurements[index]
                ));
            }
        }
        Ok(())
    }

    fn note_levels(&mut self, partition: u16, rows: &LedgerRows, index: usize) {
        for (of_partition, level) in &mut self.levels {
            if of_partition.0 == partition {
                level.since = None;
            }
        }
        let periods = list(&rows.level_periods, index).iter();
        let levels = periods.zip(list(&rows.level_resolutions, index));
        for ((period, resolution), since) in levels.zip(list(&rows.level_sinces, index)) {
            self.levels.entry((partition, *period, *resolution)).or_default().since = Some(*since);
        }
    }

    /// A level that is said to be whole has the measurements up to there: whoever owned the partition before.
    fn check_whole(&self, whole: &WholeLevel) -> Result<(), String> {
        let Some(Level {
            count,
            since: Some(since),
        }) = self
            .levels
            .get(&(whole.partition, whole.period_seconds, whole.resolution))
        else {
            return Ok(());
        };
        let end = Origin::offset_of(whole.version) + 1;
        let range = (whole.partition, *since, String::new())..(whole.partition, end.max(*since), String::new());
        let expected = self.measurements.range(range).count() as u64;
        if *count < expected {
            return Err(format!(
                "{whole:?} counts {count} measurements, and {expected} are stored"
            ));
        }
        Ok(())
    }

    fn insert_measurements(&mut self, rows: &MeasurementRows) -> Result<(), String> {
        let (tenants, metrics, devices) = (texts(&rows.tenant), texts(&rows.metric), texts(&rows.device));
        for index in 0..rows.offset.len() {
            let key = (rows.partition[index], rows.offset[index], metrics[index].clone());
            let row = Measurement {
                tenant: tenants[index].clone(),
                device: devices[index].clone(),
                ts_ms: rows.ts_ms[index],
                device_ts_ms: rows.device_ts_ms[index],
                received_at_ms: rows.received_at_ms[index],
                value: rows.value[index],
                cell: rows.cell[index],
            };
            match self.measurements.entry(key) {
                Entry::Vacant(place) => {
                    place.insert(row);
                }
                Entry::Occupied(place) if *place.get() != row => {
                    return Err(format!(
                        "measurement {:?} was {:?} and now is {row:?}",
                        place.key(),
                        place.get()
                    ));
                }
                Entry::Occupied(_) => {}
            }
        }
        Ok(())
    }

    fn insert_rollups(&mut self, rows: &RollupRows) -> Result<(), String> {
        let (tenants, metrics) = (texts(&rows.tenant), texts(&rows.metric));
        for index in 0..rows.count.len() {
            let cell = (
                tenants[index].clone(),
                metrics[index].clone(),
                rows.period_seconds[index],
                rows.resolution[index],
                rows.bucket_seconds[index],
                rows.cell[index],
            );
            let row = Snapshot {
                version: rows.version[index],
                count: rows.count[index],
                sum: rows.sum[index],
                min: rows.min[index],
                max: rows.max[index],
            };
            let level = (
                rows.partition[index],
                rows.period_seconds[index],
                rows.resolution[index],
            );
            let level = self.levels.entry(level).or_default();
            match self
                .rollups
                .entry((cell, rows.partition[index], rows.generation[index]))
            {
                Entry::Vacant(place) => {
                    level.count += row.count;
                    place.insert(row);
                }
                Entry::Occupied(place) if place.get().version == row.version && *place.get() != row => {
                    return Err(format!(
                        "snapshot {:?} was {:?} and now is {row:?}",
                        place.key(),
                        place.get()
                    ));
                }
                Entry::Occupied(mut place) if place.get().version < row.version => {
                    level.count += row.count;
                    level.count -= place.insert(row).count;
                }
                Entry::Occupied(_) => {}
            }
        }
        Ok(())
    }
}
