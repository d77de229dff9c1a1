//! `meridian loadtest replay`: publishes a CSV as telemetry and checks every row and rollup cell that it makes.

use std::{fmt::Write, path::PathBuf, time::Duration};

use clap::Args;
use loadtest::{
    oracle::{ClickHouseAddress, Verdict},
    replay::{ColumnMap, Endpoints, ReplayOptions, parse_map, replay},
};
use platform::units::parse_duration;

use super::Target;
use crate::{cli::CommonOptions, config::ValidConfig, failure::Failure, output, process::until_signalled};

const EXAMPLES: &str = "\
Examples:
  meridian loadtest replay ships.csv.gz \\
      --map device=MMSI,ts=BaseDateTime,lat=LAT,lon=LON,metric.speed=SOG,null.SOG=102.3 \\
      --report report.json
  meridian loadtest replay one.csv two.csv --tenant lab \\
      --map device=id,ts=time,metric.temperature=temp

The mapping has pairs `field=COLUMN`:
  device, ts, lat, lon, seq, alt, speed_mps, heading_deg, accuracy_m, metric.NAME
  null.COLUMN=VALUE    a number that means \"not available\"
  scale.NAME=FACTOR    multiplies
Times are shifted so that the newest is now. Nobody else may publish for the tenant meanwhile.";

/// Publish CSV files as telemetry, times shifted to now, and check every rollup cell; exit 1 unless all is well
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ReplayArguments {
    /// CSV with a header line, also .gz; several are replayed one after the other
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Which columns become which fields
    #[arg(long, value_name = "MAP", value_parser = column_map)]
    map: ColumnMap,
    #[command(flatten)]
    target: Target,
    /// Owner of the devices
    #[arg(long, default_value = "replay")]
    tenant: String,
    /// Share of events that are published twice
    #[arg(long, default_value_t = 0.05, value_name = "SHARE")]
    duplicates: f64,
    /// Bad messages for each good one
    #[arg(long, default_value_t = 0.01, value_name = "SHARE")]
    poison: f64,
    /// Messages a second; 0: as fast as they are acknowledged
    #[arg(long, default_value_t = 0.0)]
    rate: f64,
    /// Which messages are doubled, and where the bad ones come, follows from it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// MQTT connections to share the devices among
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// Time without anything new in ClickHouse after which what is missing counts as lost
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "30s")]
    patience: Duration,
    /// Write the verdict as JSON; for several files, one number after the other in front of the extension
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

fn column_map(text: &str) -> Result<ColumnMap, String> {
    parse_map(text).map_err(|error| error.to_string())
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}

/// Replays all files.
///
/// # Errors
/// When a service cannot be reached, or a verdict is not clean.
pub(super) async fn run(arguments: ReplayArguments, common: &CommonOptions) -> Result<(), Failure> {
    let config = common.load()?;
    let endpoints = endpoints(&arguments.target, &config)?;
    let shutdown = until_signalled()?;
    let mut faults = Vec::new();
    for (index, file) in arguments.files.iter().enumerate() {
        let options = ReplayOptions {
            tenant: arguments.tenant.clone(),
            duplicates: arguments.duplicates,
            poison: arguments.poison,
            rate_per_second: arguments.rate,
            seed: arguments.seed,
            connections: arguments.connections,
            drain_patience: arguments.patience,
            report: arguments.report_path(index),
            ..ReplayOptions::new(file, arguments.map.clone())
        };
        let name = file.display();
        output::print(&format!("replaying {name} to {}\n", endpoints.mqtt))?;
        let verdict = replay(&options, &endpoints, &shutdown)
            .await
            .map_err(Failure::runtime)?;
        output::print(&summary(&verdict))?;
        faults.extend(verdict.faults.iter().map(|fault| format!("{name}: {fault}")));
    }
    if faults.is_empty() {
        return Ok(());
    }
    Err(Failure::runtime(format!(
        "the verdict is not clean:\n  {}",
        faults.join("\n  ")
    )))
}

impl ReplayArguments {
    fn report_path(&self, index: usize) -> Option<PathBuf> {
        let report = self.report.as_ref()?;
        if self.files.len() == 1 {
            return Some(report.clone());
        }
        let stem = report.file_stem().unwrap_or_default().to_string_lossy();
        let extension = report.extension().map(|extension| extension.to_string_lossy());
        let extension = extension.unwrap_or("json".into());
        Some(report.with_file_name(format!("{stem}-{}.{extension}", index + 1)))
    }
}

fn endpoints(target: &Target, config: &ValidConfig) -> Result<Endpoints, Failure> {
    let settings = &config.clickhouse;
    let password = settings.password.as_ref();
    let broker = config.ingest.brokers.first().filter(|_| target.mqtt_url.is_none());
    Ok(Endpoints {
        mqtt: target.mqtt_url(config)?,
        mqtt_credentials: broker.and_then(|broker| Some((broker.username.clone()?, broker.password.clone()?))),
        clickhouse: ClickHouseAddress {
            url: target.clickhouse_url(config)?,
            database: settings.migrate.database.clone(),
            credentials: password.map(|password| (settings.user.clone(), password.expose().to_owned())),
        },
    })
}

fn summary(verdict: &Verdict) -> String {
    let (published, rows, letters) = (&verdict.published, &verdict.rows, &verdict.dead_letters);
    let cells: u64 = verdict.levels.iter().map(|level| level.cells_stored).sum();
    let table = [
        (
            "published",
            format!(
                "{} messages in {:.1} s ({:.0}/s): {} events, {} sent twice, {} bad",
                published.acknowledged,
                verdict.publish_seconds,
                verdict.publish_rate,
                published.events,
                published.duplicates,
                published.poison
            ),
        ),
        (
            "rows",
            format!(
                "{} expected, {} stored, {} lost, {} doubled",
                rows.expected, rows.stored, rows.lost, rows.duplicated
            ),
        ),
        (
            "dead letters",
            format!("{} expected, {} stored", letters.expected, letters.stored),
        ),
        (
            "cells",
            format!("{cells} compared over {} levels", verdict.levels.len()),
        ),
        (
            "drained",
            format!("{:.1} s after the last acknowledgement", verdict.drain_seconds),
        ),
        (
            "verdict",
            if verdict.clean {
                "clean".to_owned()
            } else {
                "NOT CLEAN".to_owned()
            },
        ),
    ];
    let mut text = output::table(&table);
    for difference in &verdict.differences {
        writeln!(
            text,
            "  {}: {}: {}",
            difference.check, difference.subject, difference.detail
        )
        .expect("writing to a string cannot fail");
    }
    text
}
