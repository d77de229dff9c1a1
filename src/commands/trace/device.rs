//! The events of a device: receipt, place in the log, rows, and the rollup cells that hold them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use clickhouse::Row;
use schemas::name::is_metric_name;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    TraceOptions,
    place::{Bucket, offset_of, parent, show_cell},
};
use crate::{failure::Failure, limits, output, store::Store, when};

/// An event, gathered from its rows.
#[derive(Debug, Row, Deserialize)]
struct Event {
    ts_ms: i64,
    received_at_ms: i64,
    device_ts_ms: i64,
    clock_suspect: u8,
    seq: u64,
    lat: f64,
    lon: f64,
    cell: u64,
    partition: u16,
    offset: u64,
    rows: Vec<(String, f64)>,
}

/// What is known of the device as a whole.
#[derive(Debug, Row, Deserialize)]
struct Known {
    broker: String,
    newest_ms: i64,
}

#[derive(Debug, Row, Deserialize, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Level {
    period: u32,
    res: u8,
}

/// A row of `rollup_log`, newest version of its generation.
#[derive(Debug, Row, Deserialize)]
struct Snapshot {
    metric: String,
    period: u32,
    res: u8,
    bucket: u32,
    cell: u64,
    partition: u16,
    generation: u64,
    version: u64,
    count: u64,
}

/// A cell of a level.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct CellKey {
    metric: String,
    level: Level,
    bucket: u32,
    cell: u64,
}

/// The snapshots of all cells that events fall into.
#[derive(Debug, Default)]
struct Cells {
    levels: Vec<Level>,
    /// By cell and partition, generations rising.
    snapshots: BTreeMap<(CellKey, u16), Vec<Snapshot>>,
}

/// Prints the events.
///
/// # Errors
/// When ClickHouse cannot be asked, or the device is unknown.
pub(super) async fn run(options: &TraceOptions, device: &str, store: &Store, is_json: bool) -> Result<(), Failure> {
    let tenant = &options.tenant;
    let sql = "SELECT toString(broker) AS broker, toUnixTimestamp64Milli(ts) AS newest_ms FROM devices \
        WHERE tenant = {tenant:String} AND device = {device:String}";
    let known: Vec<Known> = store
        .rows(store.query(sql).param("tenant", tenant).param("device", device))
        .await?;
    let Some(known) = known.first() else {
        return Err(Failure::runtime(format!(
            "nothing was ever stored of device `{device}` of tenant `{tenant}`; refused messages are in `meridian dlq ls`"
        )));
    };
    let events = events(options, device, store).await?;
    let cells = cells(tenant, &events, store).await?;
    let mut text = String::new();
    for event in &events {
        match is_json {
            true => writeln!(text, "{}", to_json(event, known, &cells)).expect("writing to memory"),
            false => describe(event, known, &cells, tenant, device, &mut text),
        }
    }
    if events.is_empty() && !is_json {
        let newest = when::show(known.newest_ms);
        let why = match (options.from, options.to, &options.metric) {
            (None, None, None) => "no event is stored any more: removed by `[retention]`, or by hand",
            _ => "no event in this range",
        };
        writeln!(text, "{why}; the newest of {tenant}/{device} was of {newest}").expect("writing to memory");
    }
    output::print(&text)
}

async fn events(options: &TraceOptions, device: &str, store: &Store) -> Result<Vec<Event>, Failure> {
    let sql = "SELECT toUnixTimestamp64Milli(ts) AS ts_ms, toUnixTimestamp64Milli(any(received_at)) AS received_at_ms, \
        toUnixTimestamp64Milli(any(device_ts)) AS device_ts_ms, any(clock_suspect) AS clock_suspect, any(seq) AS seq, \
        any(lat) AS lat, any(lon) AS lon, any(cell) AS cell, partition, offset, \
        arraySort(groupArray((toString(metric), value))) AS rows \
        FROM measurements WHERE tenant = {tenant:String} AND device = {device:String} \
        AND ts >= fromUnixTimestamp64Milli({from:Int64}) AND ts < fromUnixTimestamp64Milli({to:Int64}) \
        AND ({metric:String} = '' OR metric = {metric:String}) \
        GROUP BY ts, partition, offset ORDER BY ts DESC, partition DESC, offset DESC LIMIT {limit:UInt64}";
    let query = store
        .query(sql)
        .param("tenant", &options.tenant)
        .param("device", device)
        .param("metric", options.metric.clone().unwrap_or_default())
        .param("from", options.from.unwrap_or(0).max(0))
        .param(
            "to",
            options
                .to
                .unwrap_or(i64::MAX)
                .min(schemas::limits::TIMESTAMP_MS_MAX + 1_000),
        )
        .param("limit", options.limit);
    store.rows(query).await
}

/// Every cell that an event falls into, as far as it was written.
async fn cells(tenant: &str, events: &[Event], store: &Store) -> Result<Cells, Failure> {
    if events.is_empty() {
        return Ok(Cells::default());
    }
    let sql = "SELECT DISTINCT period, res FROM rollup_log WHERE tenant = {tenant:String} ORDER BY period, res DESC";
    let levels: Vec<Level> = store.rows(store.query(sql).param("tenant", tenant)).await?;
    let wanted: BTreeSet<CellKey> = events
        .iter()
        .flat_map(|event| event.rows.iter().map(move |(metric, _)| (event, metric)))
        .flat_map(|(event, metric)| levels.iter().filter_map(|level| cell_of(event, metric, *level)))
        .collect();
    let wanted: Vec<CellKey> = wanted.into_iter().collect();
    let mut cells = Cells {
        levels,
        ..Cells::default()
    };
    for share in wanted.chunks(limits::TRACE_CELLS_AT_ONCE) {
        let tuples: Vec<String> = share.iter().filter_map(CellKey::to_sql).collect();
        let sql = format!(
            "SELECT toString(metric) AS metric, period, res, toUnixTimestamp(bucket) AS bucket, cell, partition, \
             generation, version, count FROM rollup_log FINAL WHERE tenant = {{tenant:String}} \
             AND (metric, period, res, bucket, cell) IN ({}) ORDER BY generation",
            tuples.join(", ")
        );
        let snapshots: Vec<Snapshot> = store.rows(store.query(&sql).param("tenant", tenant)).await?;
        for snapshot in snapshots {
            let (key, partition) = (snapshot.key(), snapshot.partition);
            cells.snapshots.entry((key, partition)).or_default().push(snapshot);
        }
    }
    Ok(cells)
}

fn cell_of(event: &Event, metric: &str, level: Level) -> Option<CellKey> {
    let bucket = Bucket::holding(event.ts_ms, level.period).ok()?;
    Some(CellKey {
        metric: metric.to_owned(),
        level,
        bucket: bucket.start,
        cell: parent(event.cell, level.res)?,
    })
}

impl CellKey {
    fn to_sql(&self) -> Option<String> {
        let Level { period, res } = self.level;
        // The grammar has nothing that SQL would read as something else.
        is_metric_name(&self.metric).then(|| {
            format!(
                "('{}', {period}, {res}, toDateTime({}, 'UTC'), {})",
                self.metric, self.bucket, self.cell
            )
        })
    }
}

impl Snapshot {
    fn key(&self) -> CellKey {
        CellKey {
            metric: self.metric.clone(),
            level: Level {
                period: self.period,
                res: self.res,
            },
            bucket: self.bucket,
            cell: self.cell,
        }
    }
}

impl Cells {
    /// The accumulator that holds an event: of its partition, begun at or before it, and written after it came.
    fn holder(&self, key: &CellKey, event: &Event) -> Option<&Snapshot> {
        let generations = self.snapshots.get(&(key.clone(), event.partition))?;
        let begun = |snapshot: &&Snapshot| offset_of(snapshot.generation) <= event.offset;
        let newest = generations
            .iter()
            .filter(begun)
            .max_by_key(|snapshot| offset_of(snapshot.generation))?;
        (offset_of(newest.version) >= event.offset).then_some(newest)
    }

    /// All cells of one row of an event, with who holds it.
    fn of<'all>(
        &'all self,
        event: &'all Event,
        metric: &'all str,
    ) -> impl Iterator<Item = (CellKey, Option<&'all Snapshot>)> {
        self.levels.iter().filter_map(move |level| {
            let key = cell_of(event, metric, *level)?;
            let holder = self.holder(&key, event);
            Some((key, holder))
        })
    }
}

fn describe(event: &Event, known: &Known, cells: &Cells, tenant: &str, device: &str, text: &mut String) {
    let seq = match event.seq {
        0 => String::new(),
        seq => format!(" #{seq}"),
    };
    let lag_ms = event.received_at_ms - event.ts_ms;
    let mut rows = vec![
        (
            "received",
            format!(
                "{} ({lag_ms} ms after its time; the device's newest came through broker `{}`)",
                when::show(event.received_at_ms),
                output::printable(&known.broker)
            ),
        ),
        (
            "log",
            format!(
                "{} partition {} offset {}",
                schemas::record::EVENTS_TOPIC,
                event.partition,
                event.offset
            ),
        ),
    ];
    if event.clock_suspect == 1 {
        let claimed = when::show(event.device_ts_ms);
        rows.push(("clock", format!("claims {claimed}, which is not believed")));
    }
    if event.cell != 0 {
        rows.push((
            "position",
            format!("{:.7} {:.7} in {}", event.lat, event.lon, show_cell(event.cell)),
        ));
    }
    writeln!(
        text,
        "{} {tenant}/{device}{seq}\n{}",
        when::show(event.ts_ms),
        output::table(&rows).trim_end()
    )
    .expect("writing to memory");
    for (metric, value) in &event.rows {
        writeln!(text, "  {metric} = {value}").expect("writing to memory");
        for (key, holder) in cells.of(event, metric) {
            let Level { period, res } = key.level;
            let (bucket, cell) = (when::show(i64::from(key.bucket) * 1_000), show_cell(key.cell));
            let held = match holder {
                Some(snapshot) => format!(
                    "generation {} version {} count {}",
                    snapshot.generation, snapshot.version, snapshot.count
                ),
                None => "not written yet".to_owned(),
            };
            writeln!(text, "    {period:>6} s  res {res:>2}  {bucket}  {cell:<15}  {held}").expect("writing to memory");
        }
    }
    text.push('\n');
}

fn to_json(event: &Event, known: &Known, cells: &Cells) -> Value {
    let position =
        (event.cell != 0).then(|| json!({"lat": event.lat, "lon": event.lon, "cell": show_cell(event.cell)}));
    let rows: serde_json::Map<_, _> = event
        .rows
        .iter()
        .map(|(metric, value)| (metric.clone(), json!(value)))
        .collect();
    let held: Vec<Value> = event
        .rows
        .iter()
        .flat_map(|(metric, _)| cells.of(event, metric))
        .map(|(key, holder)| {
            json!({
                "metric": key.metric,
                "period": key.level.period,
                "res": key.level.res,
                "bucket": when::show(i64::from(key.bucket) * 1_000),
                "cell": show_cell(key.cell),
                "generation": holder.map(|snapshot| snapshot.generation),
                "version": holder.map(|snapshot| snapshot.version),
                "count": holder.map(|snapshot| snapshot.count),
            })
        })
        .collect();
    json!({
        "ts": when::show(event.ts_ms),
        "received_at": when::show(event.received_at_ms),
        "newest_broker": known.broker,
        "device_ts": when::show(event.device_ts_ms),
        "clock_suspect": event.clock_suspect == 1,
        "seq": event.seq,
        "partition": event.partition,
        "offset": event.offset,
        "position": position,
        "metrics": rows,
        "cells": held,
    })
}
