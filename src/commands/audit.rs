//! `meridian audit`: whether everything that was received is accounted for.
//!
//! Asks the running roles for their counts, and compares what ClickHouse holds with the ledger. Changes nothing.

mod roles;
mod show;

use std::{ops::Range, path::PathBuf, time::Duration};

use clap::Args;
use platform::units::parse_duration;
use processors::{
    audit::{self, AuditStore, Hole, HoleKind, Report},
    migrate,
};

use self::roles::Roles;
use super::access::Format;
use crate::{
    cli::CommonOptions, endpoints::Endpoints, failure::Failure, limits, output, process::until_signalled,
    store::clickhouse_url, when,
};

const EXAMPLES: &str = "\
Examples:
  meridian audit                              of the `meridian up` that runs on ./meridian-data
  meridian audit --config meridian.toml \\
      --metrics http://ingest-1:9464/metrics --metrics http://process-1:9464/metrics
  meridian audit --watch 30s --format json
  meridian audit --verify --from 2026-01-01T00:00:00Z --to 2026-01-02T00:00:00Z

received = acknowledged + in flight + dead-lettered + returned, for each broker; consumed = inserted + buffered + \
duplicates, for each topic and partition; and every table holds what was inserted. Exit code 1 when something does not \
add up.";

/// Check that everything received is accounted for: exit 1 on a hole
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct AuditOptions {
    /// Data folder of the `meridian up` to look into, where the configuration names no services [default: ./meridian-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Metrics of a running role; may be given several times [default: of the `up` on the data folder, else
    /// `telemetry.metrics_listen`]
    #[arg(long, value_name = "URL")]
    metrics: Vec<String>,
    /// How the answer looks
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Do it again at this interval until stopped
    #[arg(long, value_name = "INTERVAL", value_parser = interval, num_args = 0..=1, default_missing_value = "10s")]
    watch: Option<Duration>,
    /// Recount the rollups from the measurements, cell by cell
    #[arg(long, conflicts_with = "watch")]
    verify: bool,
    /// Only buckets from this time on: RFC 3339, Unix milliseconds, or as `2h` how long ago
    #[arg(long, value_name = "TIME", value_parser = when::parse, requires = "verify")]
    from: Option<i64>,
    /// Only buckets that begin before this time
    #[arg(long, value_name = "TIME", value_parser = when::parse, requires = "verify")]
    to: Option<i64>,
}

fn interval(text: &str) -> Result<Duration, String> {
    match parse_duration(text) {
        Ok(interval) if interval < limits::WATCH_MIN => Err(format!("give {} s at least", limits::WATCH_MIN.as_secs())),
        Ok(interval) => Ok(interval),
        Err(error) => Err(error.to_string()),
    }
}

/// Audits once, or again and again.
///
/// # Errors
/// When something does not add up, or could not be asked.
pub(crate) async fn run(options: &AuditOptions, common: &CommonOptions) -> Result<(), Failure> {
    let config = common.load()?;
    let data_dir = options.data_dir.as_deref();
    let client = config.clickhouse.client(&clickhouse_url(&config, data_dir)?);
    let database = &config.clickhouse.migrate.database;
    let store = AuditStore::new(client.clone(), database);
    if options.verify {
        return verify(options, &store).await;
    }
    let endpoints = Endpoints::find(data_dir)?;
    let tables_id = migrate::tables_id(&client, database).await.map_err(Failure::runtime)?;
    let roles = Roles::new(&config, endpoints.as_ref(), &options.metrics, tables_id);
    let Some(interval) = options.watch else {
        return verdict(&once(options, &store, &roles).await?);
    };
    let shutdown = until_signalled()?;
    loop {
        let report = once(options, &store, &roles).await?;
        tokio::select! {
            () = shutdown.requested() => return verdict(&report),
            () = tokio::time::sleep(interval) => {}
        }
    }
}

/// The buckets that begin in a range of Unix milliseconds, as Unix seconds.
pub(super) fn bucket_range(from_ms: i64, to_ms: i64) -> Result<Range<u64>, Failure> {
    let seconds = |ms: i64| u64::try_from(ms).unwrap_or(0).div_ceil(1_000);
    let range = seconds(from_ms)..seconds(to_ms);
    if range.is_empty() {
        return Err(Failure::usage("`--from` must be before `--to`"));
    }
    Ok(range)
}

async fn once(options: &AuditOptions, store: &AuditStore, roles: &Roles) -> Result<Report, Failure> {
    let received = roles.received().await;
    let mut notices = Vec::new();
    let known = async || {
        let (known, unanswered) = roles.known().await;
        notices.extend(unanswered);
        known
    };
    let mut report = audit::audit(store, known).await.map_err(Failure::runtime)?;
    report.notices.extend(notices);
    report.holes.extend(received.holes.iter().cloned());
    match options.format {
        Format::Text => output::print(&show::text(&received, &report))?,
        Format::Json => output::print(&show::json(&received, &report))?,
    }
    Ok(report)
}

fn verdict(report: &Report) -> Result<(), Failure> {
    match report.holes.first() {
        None => Ok(()),
        Some(first) => Err(Failure::runtime(format!(
            "the books do not add up: {first}{}. {}",
            more(report.holes.len() - 1),
            advice(&report.holes)
        ))),
    }
}

/// How many other holes there are, if any.
pub(super) fn more(count: usize) -> String {
    match count {
        0 => String::new(),
        1 => "; and 1 more hole".to_owned(),
        count => format!("; and {count} more holes"),
    }
}

/// What to do about holes: the most basic ones first, as others follow from them.
fn advice(holes: &[Hole]) -> &'static str {
    let has = |kinds: &[HoleKind]| holes.iter().any(|hole| kinds.contains(&hole.kind));
    if has(&[HoleKind::Measurements, HoleKind::Contents]) {
        "Rows of `measurements` are not those that were made, so rollups differ from them as well, and may be all that is \
         right: see \"When measurements are missing or changed\" in docs/auditing.md"
    } else if has(&[HoleKind::Rollups]) {
        "The measurements are right: `meridian audit --verify` names the cells, and `meridian rollups rebuild` repairs them"
    } else {
        "docs/auditing.md says what is compared with what"
    }
}

async fn verify(options: &AuditOptions, store: &AuditStore) -> Result<(), Failure> {
    // Buckets are 32 bit numbers of seconds.
    let end_ms = i64::from(u32::MAX) * 1_000;
    let range = bucket_range(options.from.unwrap_or(0), options.to.unwrap_or(end_ms))?;
    let verification = audit::verify(store, range.start, range.end)
        .await
        .map_err(Failure::runtime)?;
    match options.format {
        Format::Text => output::print(&show::verification(&verification))?,
        Format::Json => {
            let json = serde_json::to_string(&verification).expect("plain data is always JSON");
            output::print(&format!("{json}\n"))?;
        }
    }
    match verification.differing_count() {
        0 => Ok(()),
        count => Err(Failure::runtime(format!(
            "{count} rollup cells are not what the measurements say: if `meridian audit` finds no hole in the \
             measurements, `meridian rollups rebuild` repairs them"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_the_buckets_that_begin_in_it() {
        assert_eq!(bucket_range(60_000, 120_000).unwrap(), 60..120);
        assert_eq!(bucket_range(60_001, 119_001).unwrap(), 61..120);
        assert_eq!(bucket_range(-5, 1).unwrap(), 0..1);
        assert!(
            bucket_range(60_000, 60_000)
                .unwrap_err()
                .to_string()
                .contains("`--from`")
        );
    }
}
