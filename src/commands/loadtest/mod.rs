//! `meridian loadtest`: simulated devices and replayed files.

mod fleet;
mod replay;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::{cli::CommonOptions, config::ValidConfig, endpoints::Endpoints, failure::Failure};

const EXAMPLES: &str = "\
Examples:
  meridian loadtest fleet --mqtt-url mqtt://127.0.0.1:1883
  meridian loadtest replay ships.csv.gz \\
      --map device=MMSI,ts=BaseDateTime,lat=LAT,lon=LON,metric.speed=SOG";

/// Simulate devices, or replay real ones, and check what has become of it
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct LoadtestOptions {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Debug, Subcommand)]
enum Kind {
    Fleet(fleet::FleetArguments),
    Replay(Box<replay::ReplayArguments>),
}

/// Runs what was asked for.
///
/// # Errors
/// When a service cannot be reached, or the verdict is not clean.
pub(crate) async fn run(options: LoadtestOptions, common: &CommonOptions) -> Result<(), Failure> {
    match options.kind {
        Kind::Fleet(arguments) => fleet::run(arguments, common).await,
        Kind::Replay(arguments) => replay::run(*arguments, common).await,
    }
}

/// Where a running pipeline is.
#[derive(Debug, Args)]
struct Target {
    /// Broker to publish to [default: the first one of the configuration, else that of `meridian up`]
    #[arg(long, value_name = "URL")]
    mqtt_url: Option<String>,
    /// Data folder of the `meridian up` to look for [default: ./meridian-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl Target {
    /// Addresses of the `up` that runs on the data folder, if one does.
    fn running(&self) -> Result<Option<Endpoints>, Failure> {
        Endpoints::find(self.data_dir.as_deref())
    }

    fn mqtt_url(&self, config: &ValidConfig) -> Result<String, Failure> {
        let running = self.running()?.map(|endpoints| endpoints.mqtt);
        let configured = config.ingest.brokers.first().map(|broker| broker.url.clone());
        let default = || format!("mqtt://{}", config.embedded.mqtt_listen);
        let asked = self.mqtt_url.clone();
        Ok(asked.or(configured).or(running).unwrap_or_else(default))
    }

    fn clickhouse_url(&self, config: &ValidConfig) -> Result<String, Failure> {
        let running = self.running()?.map(|endpoints| endpoints.clickhouse);
        let configured = config.clickhouse.url.as_ref().map(|url| url.expose().to_owned());
        let default = || format!("http://{}", config.embedded.clickhouse_listen);
        Ok(configured.or(running).unwrap_or_else(default))
    }
}
