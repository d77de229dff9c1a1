//! `meridian loadtest`: simulated devices.

use clap::{Args, Subcommand};
use loadtest::fleet::{FleetOptions, run_fleet};
use platform::{
    clock::{Clock, SystemClock},
    units::parse_duration,
};

use crate::{cli::CommonOptions, failure::Failure, output, process::until_signalled};

const EXAMPLES: &str = "\
Example:
  meridian loadtest fleet --mqtt-url mqtt://127.0.0.1:1883";

const FLEET_EXAMPLES: &str = "\
Examples:
  meridian loadtest fleet --mqtt-url mqtt://127.0.0.1:1883
  meridian loadtest fleet --vehicles 1000 --stations 100 --history 0s";

/// Simulate devices
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct LoadtestOptions {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Debug, Subcommand)]
enum Kind {
    Fleet(FleetArguments),
}

/// Publish a fleet of vehicles and air-quality stations until stopped
#[derive(Debug, Args)]
#[command(after_help = FLEET_EXAMPLES)]
struct FleetArguments {
    /// Broker to publish to [default: the first one of the configuration, else that of `meridian up`]
    #[arg(long, value_name = "URL")]
    mqtt_url: Option<String>,
    /// Everything that is random follows from it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Owner of all devices
    #[arg(long)]
    tenant: Option<String>,
    /// Vehicles, spread over all cities
    #[arg(long)]
    vehicles: Option<u32>,
    /// Air-quality stations, spread over all cities
    #[arg(long)]
    stations: Option<u32>,
    /// How much of the past is told first
    #[arg(long, value_name = "DURATION", value_parser = history)]
    history: Option<i64>,
}

/// A duration in milliseconds.
fn history(text: &str) -> Result<i64, String> {
    let duration = parse_duration(text).map_err(|error| error.to_string())?;
    i64::try_from(duration.as_millis()).map_err(|error| error.to_string())
}

/// Runs what was asked for.
///
/// # Errors
/// When the broker cannot be reached.
pub(crate) async fn run(options: LoadtestOptions, common: &CommonOptions) -> Result<(), Failure> {
    match options.kind {
        Kind::Fleet(arguments) => fleet(arguments, common).await,
    }
}

async fn fleet(arguments: FleetArguments, common: &CommonOptions) -> Result<(), Failure> {
    let config = common.load()?;
    let configured = config.ingest.brokers.first().map(|broker| broker.url.clone());
    let url = arguments
        .mqtt_url
        .or(configured)
        .unwrap_or_else(|| format!("mqtt://{}", config.embedded.mqtt_listen));
    let mut options = FleetOptions::demo(arguments.seed, SystemClock::new().wall_ms());
    options.tenant = arguments.tenant.unwrap_or(options.tenant);
    options.vehicles = arguments.vehicles.unwrap_or(options.vehicles);
    options.stations = arguments.stations.unwrap_or(options.stations);
    options.history_ms = arguments.history.unwrap_or(options.history_ms);
    if options.vehicles + options.stations == 0 {
        return Err(Failure::usage(
            "a fleet without vehicles and stations publishes nothing; give one of them",
        ));
    }
    let shutdown = until_signalled()?;
    output::print(&format!("publishing to {url}; Ctrl-C stops\n"))?;
    let report = run_fleet(options, &url, &shutdown).await.map_err(Failure::runtime)?;
    let counts = report
        .counts
        .iter()
        .map(|(fate, count)| format!("  {count} {fate:?}\n").to_lowercase());
    let counts: String = counts.collect();
    output::print(&format!("messages:\n{counts}"))
}
