//! `meridian serve`: the web side alone: the dashboard, the query API, and probes.

use clap::Args;
use dashboards::Site;

use crate::{
    cli::CommonOptions, commands::migrate::clickhouse_url, config::ValidConfig, endpoints::in_words, failure::Failure,
    output, process::Process, services, stages::Stages,
};

const EXAMPLES: &str = "\
Example:
  meridian serve --config meridian.toml --http-port 8080";

/// Run the web side: the dashboard and the query API on the ClickHouse of the configuration, /healthz and /readyz
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ServeOptions {
    /// Port of the web side; 0 takes any free one
    #[arg(long, value_name = "PORT")]
    http_port: Option<u16>,
    /// Port of metrics and probes; 0 takes any free one
    #[arg(long, value_name = "PORT")]
    metrics_port: Option<u16>,
}

/// Runs until a signal comes.
///
/// # Errors
/// When the configuration names no ClickHouse, or a port is taken.
pub(crate) async fn run(options: &ServeOptions, common: &CommonOptions) -> Result<(), Failure> {
    let mut config = common.load()?;
    config.serve_listen.port = options.http_port.unwrap_or(config.serve_listen.port);
    config.metrics_listen.port = options.metrics_port.unwrap_or(config.metrics_listen.port);
    clickhouse_url(&config)?;
    let process = Process::start()?;
    let mut stages = Stages::default();
    match start(&mut stages, &config, &process).await {
        Ok(rows) => {
            let ready = async {
                process.until_ready().await;
                output::print(&format!("meridian serve is ready\n{}", output::table(&rows)))
            };
            stages.run(&process.shutdown, ready).await
        }
        Err(failure) => stages.stop().await.and(Err(failure)),
    }
}

async fn start(
    stages: &mut Stages,
    config: &ValidConfig,
    process: &Process,
) -> Result<[(&'static str, String); 2], Failure> {
    let metrics_url = services::start_metrics(stages, &config.metrics_listen, process).await?;
    let clickhouse = clickhouse_url(config)?;
    services::check_credentials(config, clickhouse).await?;
    let mut site = Site {
        access: config.access.clone(),
        cache: services::shared_cache(config, process)?,
        ..Site::default()
    };
    // Without the password that may be in it.
    let shown = config.clickhouse.url.as_ref().map(ToString::to_string);
    site.start.add("ClickHouse", &shown.unwrap_or_default());
    site.start.add("metrics", &metrics_url);
    let queries = services::queries(config, clickhouse);
    let web_url = services::start_web(stages, &config.serve_listen, queries, site, process).await?;
    Ok([
        ("web", in_words(&web_url, &config.serve_listen)),
        ("metrics", in_words(&metrics_url, &config.metrics_listen)),
    ])
}
