//! `meridian trace`: where an event went, and what a rollup cell is made of.
//!
//! Reads ClickHouse only, so it tells what is stored, not what is on its way.

mod cell;
mod device;
mod place;

use clap::Args;
use platform::units::parse_duration;

use super::access::Access;
use crate::{cli::CommonOptions, failure::Failure, store::Store, when};

const EXAMPLES: &str = "\
Examples:
  meridian trace --tenant acme --device bus-7 --from 10m
  meridian trace --tenant acme --cell 871f1d489ffffff --period 1h \\
      --bucket 2026-01-31T12:00:00Z --metric temperature
  meridian trace --tenant acme --device bus-7 --format json | jq .cells

With `--device`: each event, newest first, with its receipt, its place in the log, its rows, and the rollup cells that \
hold it. A cell that does not hold it yet is written with the next flush of its level.

With `--cell`: the accumulators that a cell is the sum of, and the places in the log of the events in it.";

/// Follow events from receipt to their rollup cells, or a rollup cell back to its events
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct TraceOptions {
    /// Owner of the device, or of the cell
    #[arg(long)]
    tenant: String,
    /// Follow the events of this device
    #[arg(long, conflicts_with = "cell")]
    device: Option<String>,
    /// Only events at or after this time: RFC 3339, Unix milliseconds, or as `2h` how long ago
    #[arg(long, value_name = "TIME", value_parser = when::parse, conflicts_with = "cell")]
    from: Option<i64>,
    /// Only events before this time
    #[arg(long, value_name = "TIME", value_parser = when::parse, conflicts_with = "cell")]
    to: Option<i64>,
    /// Follow this rollup cell: H3 in hexadecimal, or 0 for events without a position
    #[arg(long, value_name = "CELL", value_parser = place::parse_cell, requires_all = ["period", "bucket"])]
    cell: Option<u64>,
    /// Length of the cell's period, as `1m`, `1h`, `1d`, or in seconds
    #[arg(long, value_name = "PERIOD", value_parser = period)]
    period: Option<u32>,
    /// A time in the cell's bucket, also as `bucket` is printed by ClickHouse: `2026-01-31 12:00:00`
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    bucket: Option<i64>,
    /// Only this metric
    #[arg(long, value_name = "METRIC")]
    metric: Option<String>,
    /// Show at most this many events
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    limit: u64,
    #[command(flatten)]
    access: Access,
}

fn period(text: &str) -> Result<u32, String> {
    if let Ok(seconds) = text.parse::<u32>()
        && seconds > 0
    {
        return Ok(seconds);
    }
    let duration = parse_duration(text).map_err(|error| error.to_string())?;
    match u32::try_from(duration.as_secs()) {
        Ok(seconds) if seconds > 0 => Ok(seconds),
        _ => Err("a period is a second at least".to_owned()),
    }
}

/// Prints what was found.
///
/// # Errors
/// When ClickHouse cannot be asked, or nothing is known of the device or the cell.
pub(crate) async fn run(options: &TraceOptions, common: &CommonOptions) -> Result<(), Failure> {
    let subject = options.subject()?;
    let config = common.load()?;
    let store = Store::open(&config, options.access.data_dir.as_deref())?;
    let is_json = options.access.is_json(common);
    match subject {
        Subject::Device(device) => device::run(options, device, &store, is_json).await,
        Subject::Cell(cell, bucket) => cell::run(options, cell, bucket, &store, is_json).await,
    }
}

/// What is followed.
enum Subject<'options> {
    Device(&'options str),
    Cell(u64, place::Bucket),
}

impl TraceOptions {
    fn subject(&self) -> Result<Subject<'_>, Failure> {
        match (&self.device, self.cell, self.period, self.bucket) {
            (Some(device), ..) => Ok(Subject::Device(device)),
            (None, Some(cell), Some(period_seconds), Some(bucket_ms)) => {
                let bucket = place::Bucket::holding(bucket_ms, period_seconds).map_err(Failure::usage)?;
                Ok(Subject::Cell(cell, bucket))
            }
            _ => Err(Failure::usage(
                "name a `--device`, or a `--cell` with `--period` and `--bucket`",
            )),
        }
    }
}
