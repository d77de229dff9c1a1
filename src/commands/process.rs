//! `meridian process`: the role that makes rows and rollups of the log, alone.

use std::path::Path;

use clap::Args;

use crate::{
    cli::CommonOptions,
    commands::{ingest::require_kafka, migrate::clickhouse_url},
    config::ValidConfig,
    data_dir::{DATA_DIR_DEFAULT, checkpoints_url},
    failure::Failure,
    output, pipeline,
    process::Process,
    services,
    stages::Stages,
};

const EXAMPLES: &str = "\
Examples:
  meridian process --config meridian.toml
  meridian process --config meridian.toml --metrics-port 9466";

/// Run the role that turns the log into rows and rollups
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ProcessOptions {
    /// Port of metrics and probes; 0 takes any free one
    #[arg(long, value_name = "PORT")]
    metrics_port: Option<u16>,
}

/// Runs until a signal comes.
///
/// # Errors
/// When a service stays away or is not fit, or the role fails for good.
pub(crate) async fn run(options: &ProcessOptions, common: &CommonOptions) -> Result<(), Failure> {
    let mut config = common.load()?;
    require_kafka(&config, "process")?;
    clickhouse_url(&config)?;
    config.metrics_listen.port = options.metrics_port.unwrap_or(config.metrics_listen.port);
    let process = Process::start()?;
    let mut stages = Stages::default();
    match start(&mut stages, &config, &process).await {
        Ok(metrics_url) => {
            let ready = async {
                process.until_ready().await;
                let rows = [("metrics", metrics_url)];
                output::print(&format!("meridian process is ready\n{}", output::table(&rows)))
            };
            stages.run(&process.shutdown, ready).await
        }
        Err(failure) => stages.stop().await.and(Err(failure)),
    }
}

async fn start(stages: &mut Stages, config: &ValidConfig, process: &Process) -> Result<String, Failure> {
    let metrics_url = services::start_metrics(stages, &config.metrics_listen, process).await?;
    let clickhouse = clickhouse_url(config)?;
    pipeline::prepare_clickhouse(&config.clickhouse, clickhouse, process).await?;
    let log = pipeline::open_log(config, std::path::PathBuf::new()).await?;
    pipeline::prepare_log(&log, &config.log, process).await?;
    let default_url = || checkpoints_url(Path::new(DATA_DIR_DEFAULT));
    let checkpoints = config.checkpoints_url.clone().unwrap_or_else(default_url);
    let cache = services::shared_cache(config, process)?;
    pipeline::start_process(stages, config, &log, clickhouse, &checkpoints, cache, process)?;
    Ok(metrics_url)
}
