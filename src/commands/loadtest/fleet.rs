//! `meridian loadtest fleet`: vehicles and stations that publish until stopped.

use clap::Args;
use loadtest::fleet::{FleetOptions, run_fleet};
use platform::{
    clock::{Clock, SystemClock},
    units::parse_duration,
};

use super::Target;
use crate::{cli::CommonOptions, failure::Failure, output, process::until_signalled};

const EXAMPLES: &str = "\
Examples:
  meridian loadtest fleet --mqtt-url mqtt://127.0.0.1:1883
  meridian loadtest fleet --vehicles 1000 --stations 100 --history 0s";

/// Publish a fleet of vehicles and air-quality stations until stopped
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct FleetArguments {
    #[command(flatten)]
    target: Target,
    /// Everything that is random follows from it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Owner of all devices
    #[arg(long, default_value = "demo")]
    tenant: String,
    /// Vehicles, spread over all cities [default: 200]
    #[arg(long)]
    vehicles: Option<u32>,
    /// Air-quality stations, spread over all cities [default: 60]
    #[arg(long)]
    stations: Option<u32>,
    /// How much of the past is told first [default: 15m]
    #[arg(long, value_name = "DURATION", value_parser = milliseconds)]
    history: Option<i64>,
}

fn milliseconds(text: &str) -> Result<i64, String> {
    let duration = parse_duration(text).map_err(|error| error.to_string())?;
    i64::try_from(duration.as_millis()).map_err(|error| error.to_string())
}

/// Publishes until a signal comes.
///
/// # Errors
/// When the broker cannot be reached.
pub(super) async fn run(arguments: FleetArguments, common: &CommonOptions) -> Result<(), Failure> {
    let config = common.load()?;
    let url = arguments.target.mqtt_url(&config)?;
    let mut options = FleetOptions::demo(arguments.seed, SystemClock::new().wall_ms());
    options.tenant = arguments.tenant;
    options.vehicles = arguments.vehicles.unwrap_or(options.vehicles);
    options.stations = arguments.stations.unwrap_or(options.stations);
    options.history_ms = arguments.history.unwrap_or(options.history_ms);
    if options.vehicles == 0 && options.stations == 0 {
        return Err(Failure::usage(
            "a fleet without vehicles and stations publishes nothing; give some of either",
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
