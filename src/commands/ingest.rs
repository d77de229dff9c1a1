//! `meridian ingest`: the role that reads MQTT brokers into Kafka, alone.

use clap::Args;

use crate::{
    cli::CommonOptions, config::ValidConfig, failure::Failure, output, pipeline, process::Process, services,
    stages::Stages,
};

const EXAMPLES: &str = "\
Examples:
  meridian ingest --config meridian.toml
  MERIDIAN__INGEST__INSTANCE=2 meridian ingest --config meridian.toml --metrics-port 9465";

/// Run the role that reads MQTT brokers into Kafka
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct IngestOptions {
    /// Port of metrics and probes; 0 takes any free one
    #[arg(long, value_name = "PORT")]
    metrics_port: Option<u16>,
}

/// Runs until a signal comes.
///
/// # Errors
/// When a service stays away, or the role fails for good.
pub(crate) async fn run(options: &IngestOptions, common: &CommonOptions) -> Result<(), Failure> {
    let mut config = common.load()?;
    require_kafka(&config, "ingest")?;
    if config.ingest.brokers.is_empty() {
        return Err(Failure::usage(
            "`mqtt.brokers` is missing; write a section `[[mqtt.brokers]]` with `name` and `url` for each broker to read",
        ));
    }
    config.metrics_listen.port = options.metrics_port.unwrap_or(config.metrics_listen.port);
    let process = Process::start()?;
    let mut stages = Stages::default();
    match start(&mut stages, config, &process).await {
        Ok(metrics_url) => {
            let ready = async {
                process.until_ready().await;
                let rows = [("metrics", metrics_url)];
                output::print(&format!("meridian ingest is ready\n{}", output::table(&rows)))
            };
            stages.run(&process.shutdown, ready).await
        }
        Err(failure) => stages.stop().await.and(Err(failure)),
    }
}

async fn start(stages: &mut Stages, config: ValidConfig, process: &Process) -> Result<String, Failure> {
    let metrics_url = services::start_metrics(stages, &config.metrics_listen, process).await?;
    let log = pipeline::open_log(&config, std::path::PathBuf::new()).await?;
    pipeline::prepare_log(&log, &config.log, process).await?;
    pipeline::start_ingest(stages, config.ingest, log, None, process);
    Ok(metrics_url)
}

/// A log of our own belongs to one process, so roles of their own need Kafka.
///
/// # Errors
/// When the configuration has none.
pub(super) fn require_kafka(config: &ValidConfig, command: &str) -> Result<(), Failure> {
    if config.log.kafka.is_some() {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "`meridian {command}` needs Kafka, and the configuration has no section `[kafka]`: the embedded log belongs to one \
         process, so without Kafka run everything in one with `meridian up`; else write `[kafka] brokers = \"host:9092\"`"
    )))
}
