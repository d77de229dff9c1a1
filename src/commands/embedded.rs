//! `meridian embedded`: one backing service of our own, in its own process.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use platform::config::HostPort;

use crate::{
    cli::CommonOptions, data_dir::DATA_DIR_DEFAULT, failure::Failure, output, process::until_signalled, services,
    stages::Stages,
};

const EXAMPLES: &str = "\
Examples:
  meridian embedded mqtt --port 1883 --data-dir ./meridian-data
  meridian embedded clickhouse --port 8123 --data-dir ./meridian-data";

const MQTT_EXAMPLES: &str = "\
Example:
  meridian embedded mqtt --port 1883 --data-dir ./meridian-data

Sessions and acknowledged messages are kept in the folder, also when the process is killed.";

const CLICKHOUSE_EXAMPLES: &str = "\
Example:
  meridian embedded clickhouse --port 8123 --data-dir ./meridian-data";

/// Run one embedded backing service alone, in its own process
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct EmbeddedOptions {
    #[command(subcommand)]
    service: Service,
}

#[derive(Debug, Subcommand)]
enum Service {
    /// An MQTT broker for MQTT 3.1.1 and 5
    #[command(after_help = MQTT_EXAMPLES)]
    Mqtt(ServiceOptions),
    /// A ClickHouse engine behind its HTTP interface
    #[command(after_help = CLICKHOUSE_EXAMPLES)]
    Clickhouse(ServiceOptions),
}

#[derive(Debug, Args)]
struct ServiceOptions {
    /// Port to listen on; 0 takes any free one [default: that of `[embedded]` in the configuration]
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Folder of its data
    #[arg(long, value_name = "DIR", default_value = DATA_DIR_DEFAULT)]
    data_dir: PathBuf,
}

impl ServiceOptions {
    fn listen(&self, configured: &HostPort) -> HostPort {
        HostPort {
            host: configured.host.clone(),
            port: self.port.unwrap_or(configured.port),
        }
    }
}

/// Runs until a signal comes.
///
/// # Errors
/// When the port is taken, or the folder cannot be used.
pub(crate) async fn run(options: &EmbeddedOptions, common: &CommonOptions) -> Result<(), Failure> {
    let config = common.load()?;
    let shutdown = until_signalled()?;
    let mut stages = Stages::default();
    let url = match &options.service {
        Service::Mqtt(service) => {
            let listen = service.listen(&config.embedded.mqtt_listen);
            let (data_dir, sessions) = (&service.data_dir, Vec::new());
            let broker =
                services::start_mqtt(&mut stages, &listen, data_dir, &config.ingest, sessions, "--port").await?;
            broker.url
        }
        Service::Clickhouse(service) => {
            let listen = service.listen(&config.embedded.clickhouse_listen);
            let (embedded, settings) = (&config.embedded, &config.clickhouse);
            let engine =
                services::start_clickhouse(&mut stages, &listen, &service.data_dir, embedded, settings, "--port")
                    .await?;
            engine.url
        }
    };
    let ready = async { output::print(&format!("ready at {url}\n")) };
    stages.run(&shutdown, ready).await
}
