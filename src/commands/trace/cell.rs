//! A rollup cell: the accumulators that it is the sum of, and the events in it.

use std::{cmp::Ordering, collections::BTreeMap, fmt::Write};

use clickhouse::Row;
use serde::Deserialize;
use serde_json::json;

use super::{
    TraceOptions,
    place::{Bucket, offset_of, resolution, show_cell},
};
use crate::{failure::Failure, output, store::Store, when};

/// An accumulator, as it was last written.
#[derive(Debug, Row, Deserialize)]
struct Accumulator {
    metric: String,
    partition: u16,
    generation: u64,
    version: u64,
    count: u64,
    sum: f64,
}

/// A measurement in the cell.
#[derive(Debug, Row, Deserialize)]
struct Member {
    metric: String,
    partition: u16,
    offset: u64,
    device: String,
    ts_ms: i64,
    value: f64,
}

/// All measurements of a metric in the cell, however many are shown.
#[derive(Debug, Row, Deserialize)]
struct Total {
    metric: String,
    rows: u64,
    sum: f64,
}

/// What a cell is made of, for one metric.
#[derive(Debug, Default)]
struct Makeup<'found> {
    accumulators: Vec<&'found Accumulator>,
    members: Vec<&'found Member>,
    rows: u64,
    sum: f64,
}

/// The condition on a measurement to be in the cell. The server's own H3, since the cells of rows are of the base
/// resolution.
const IN_CELL: &str = "tenant = {tenant:String} AND ({metric:String} = '' OR metric = {metric:String}) \
    AND ts >= fromUnixTimestamp64Milli({from:Int64}) AND ts < fromUnixTimestamp64Milli({to:Int64}) \
    AND if({cell:UInt64} = 0, cell = 0, cell != 0 AND \
        h3ToParent(if(cell = 0, {cell:UInt64}, cell), {res:UInt8}) = {cell:UInt64})";

/// A period that is no level has measurements and no rollups, and nothing is wrong with that.
async fn check_level(options: &TraceOptions, bucket: Bucket, cell: u64, store: &Store) -> Result<(), Failure> {
    let sql = "SELECT DISTINCT period, res FROM rollup_log WHERE tenant = {tenant:String} ORDER BY period, res";
    let levels: Vec<(u32, u8)> = store.rows(store.query(sql).param("tenant", &options.tenant)).await?;
    let wanted = resolution(cell);
    let is_it =
        |(period, res): &(u32, u8)| *period == bucket.period_seconds && wanted.is_none_or(|wanted| wanted == *res);
    // Of a tenant without rollups there is nothing to name.
    if levels.is_empty() || levels.iter().any(is_it) {
        return Ok(());
    }
    let there: Vec<String> = levels
        .iter()
        .map(|(period, res)| format!("{period} s at {res}"))
        .collect();
    Err(Failure::usage(format!(
        "there is no rollup level of {} s at the resolution of this cell; there are {}",
        bucket.period_seconds,
        there.join(", ")
    )))
}

/// Prints the cell.
///
/// # Errors
/// When ClickHouse cannot be asked, or there is no such cell.
pub(super) async fn run(
    options: &TraceOptions,
    cell: u64,
    bucket: Bucket,
    store: &Store,
    is_json: bool,
) -> Result<(), Failure> {
    let from_ms = i64::from(bucket.start) * 1_000;
    let bind = |sql: &str| {
        store
            .query(sql)
            .param("tenant", &options.tenant)
            .param("metric", options.metric.clone().unwrap_or_default())
            .param("period", bucket.period_seconds)
            .param("bucket", bucket.start)
            .param("from", from_ms)
            .param("to", from_ms + i64::from(bucket.period_seconds) * 1_000)
            .param("cell", cell)
            .param("res", resolution(cell).unwrap_or(0))
            .param("limit", options.limit)
    };
    // Cell 0 is the same at every resolution: any one of them tells all.
    let accumulators = "SELECT toString(metric) AS metric, partition, generation, version, count, sum FROM rollup_log FINAL \
        WHERE tenant = {tenant:String} AND ({metric:String} = '' OR metric = {metric:String}) \
        AND period = {period:UInt32} AND toUnixTimestamp(bucket) = {bucket:UInt32} AND cell = {cell:UInt64} \
        AND ({cell:UInt64} != 0 OR res = (SELECT max(res) FROM rollup_log WHERE tenant = {tenant:String} \
            AND period = {period:UInt32} AND cell = 0)) ORDER BY metric, partition, generation";
    let accumulators: Vec<Accumulator> = store.rows(bind(accumulators)).await?;
    let totals = format!(
        "SELECT toString(metric) AS metric, count() AS rows, sum(value) AS sum FROM measurements WHERE {IN_CELL} \
         GROUP BY metric"
    );
    let totals: Vec<Total> = store.rows(bind(&totals)).await?;
    let members = format!(
        "SELECT toString(metric) AS metric, partition, offset, device, toUnixTimestamp64Milli(ts) AS ts_ms, value \
         FROM measurements WHERE {IN_CELL} ORDER BY metric, partition, offset LIMIT {{limit:UInt64}}"
    );
    let members: Vec<Member> = store.rows(bind(&members)).await?;
    if accumulators.is_empty() {
        check_level(options, bucket, cell, store).await?;
    }
    if accumulators.is_empty() && totals.is_empty() {
        let (cell, start, period) = (show_cell(cell), when::show(from_ms), bucket.period_seconds);
        return Err(Failure::runtime(format!(
            "tenant `{}` has nothing in cell `{cell}` in the {period} s from {start}",
            options.tenant
        )));
    }
    let makeup = gather(&accumulators, &totals, &members);
    let text: String = match is_json {
        true => makeup
            .iter()
            .map(|(metric, makeup)| format!("{}\n", makeup.to_json(metric, cell, bucket)))
            .collect(),
        false => makeup.iter().map(|(metric, makeup)| makeup.describe(metric)).collect(),
    };
    output::print(&text)
}

fn gather<'found>(
    accumulators: &'found [Accumulator],
    totals: &'found [Total],
    members: &'found [Member],
) -> BTreeMap<&'found str, Makeup<'found>> {
    let mut makeup: BTreeMap<&str, Makeup<'_>> = BTreeMap::new();
    for accumulator in accumulators {
        makeup
            .entry(&accumulator.metric)
            .or_default()
            .accumulators
            .push(accumulator);
    }
    for total in totals {
        let found = makeup.entry(&total.metric).or_default();
        (found.rows, found.sum) = (total.rows, total.sum);
    }
    for member in members {
        makeup.entry(&member.metric).or_default().members.push(member);
    }
    makeup
}

impl Makeup<'_> {
    fn count(&self) -> u64 {
        self.accumulators.iter().map(|accumulator| accumulator.count).sum()
    }

    fn describe(&self, metric: &str) -> String {
        let (count, rows) = (self.count(), self.rows);
        let verdict = match count.cmp(&rows) {
            Ordering::Equal => "adds up",
            Ordering::Less => {
                "less: the rest comes with the next flush of the level; if not, see `meridian audit --verify`"
            }
            Ordering::Greater => {
                "more: measurements were removed, or the rollup changed; see `meridian audit --verify`"
            }
        };
        let sum: f64 = self.accumulators.iter().map(|accumulator| accumulator.sum).sum();
        let mut text = format!(
            "{metric}: the cell counts {count} (sum {sum}), measurements {rows} (sum {}): {verdict}\n",
            self.sum
        );
        for accumulator in &self.accumulators {
            let Accumulator {
                partition,
                generation,
                version,
                count,
                sum,
                ..
            } = accumulator;
            let (first, last) = (offset_of(*generation), offset_of(*version));
            writeln!(
                text,
                "  partition {partition} generation {generation} version {version}: count {count} sum {sum}, \
                 offsets {first} to {last}"
            )
            .expect("writing to memory");
        }
        for member in &self.members {
            let time = when::show(member.ts_ms);
            let Member {
                partition,
                offset,
                device,
                value,
                ..
            } = member;
            writeln!(
                text,
                "    partition {partition} offset {offset}  {time}  {device}  {value}"
            )
            .expect("writing to memory");
        }
        if (self.members.len() as u64) < rows {
            let shown = self.members.len();
            writeln!(
                text,
                "    ({shown} of {rows} are shown; more with `--limit` and `--metric`)"
            )
            .expect("writing to memory");
        }
        text
    }

    fn to_json(&self, metric: &str, cell: u64, bucket: Bucket) -> serde_json::Value {
        let accumulators: Vec<_> = self
            .accumulators
            .iter()
            .map(|accumulator| {
                json!({
                    "partition": accumulator.partition,
                    "generation": accumulator.generation,
                    "version": accumulator.version,
                    "count": accumulator.count,
                    "sum": accumulator.sum,
                })
            })
            .collect();
        let events: Vec<_> = self
            .members
            .iter()
            .map(|member| {
                json!({
                    "partition": member.partition,
                    "offset": member.offset,
                    "device": member.device,
                    "ts": when::show(member.ts_ms),
                    "value": member.value,
                })
            })
            .collect();
        json!({
            "metric": metric,
            "cell": show_cell(cell),
            "period": bucket.period_seconds,
            "bucket": when::show(i64::from(bucket.start) * 1_000),
            "count": self.count(),
            "measurements": self.rows,
            "adds_up": self.count() == self.rows,
            "accumulators": accumulators,
            "events": events,
        })
    }
}
