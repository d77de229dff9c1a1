//! `meridian validate`: says everything that is wrong with a configuration, and with the services it names.

use clap::Args;
use processors::{
    checkpoint::CheckpointStore,
    migrate::{self, Fault},
};

use crate::{cli::CommonOptions, config::ValidConfig, failure::Failure, output, probe, services};

const EXAMPLES: &str = "\
Examples:
  meridian validate --config meridian.toml
  meridian validate --config meridian.toml --connect";

/// Check the configuration, and with --connect every backing service that it names
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ValidateOptions {
    /// Also ask every backing service, and ClickHouse for the settings that correct results need
    #[arg(long)]
    connect: bool,
}

/// Checks everything.
///
/// # Errors
/// All faults at once.
pub(crate) async fn run(options: &ValidateOptions, common: &CommonOptions) -> Result<(), Failure> {
    let config = common.load()?;
    if !options.connect {
        return output::print(&format!("the configuration is valid\n{}", note(&config)));
    }
    let mut findings = Findings::default();
    brokers(&config, &mut findings).await;
    kafka(&config, &mut findings).await;
    checkpoints(&config, &mut findings);
    clickhouse(&config, &mut findings).await;
    redis(&config, &mut findings).await;
    credentials(&config, &mut findings).await;
    output::print(&findings.passed)?;
    if findings.faults.is_empty() {
        return output::print("the configuration is valid, and every service that it names can be used\n");
    }
    Err(Failure::Usage(format!(
        "not everything can be used:\n  {}",
        findings.faults.join("\n  ")
    )))
}

/// What cannot be seen without asking.
fn note(config: &ValidConfig) -> &'static str {
    match services::needs_key(config) {
        false => "",
        true => {
            "note: `[serve] listen` can be reached by other machines, so `serve` and `up` start only where there is an API \
             key: `--connect` looks for one, `meridian keys new` makes one\n"
        }
    }
}

async fn credentials(config: &ValidConfig, findings: &mut Findings) {
    let url = config.clickhouse.url.as_ref();
    let Some(url) = url.filter(|_| services::needs_key(config)) else {
        return;
    };
    let checked = match services::has_good_key(config, url.expose()).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(services::no_credential(config)),
        Err(error) => Err(error),
    };
    findings.add("an API key for the web side", checked);
}

/// What was found, in the order of an event's path.
#[derive(Default)]
struct Findings {
    passed: String,
    faults: Vec<String>,
}

impl Findings {
    fn add(&mut self, what: &str, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => {
                self.passed.push_str("ok  ");
                self.passed.push_str(what);
                self.passed.push('\n');
            }
            Err(fault) => self.faults.push(format!("{what}: {fault}")),
        }
    }
}

async fn brokers(config: &ValidConfig, findings: &mut Findings) {
    for broker in &config.ingest.brokers {
        let what = format!("MQTT broker `{}` at {}", broker.name, broker.url);
        findings.add(&what, probe::mqtt(broker).await);
    }
}

async fn kafka(config: &ValidConfig, findings: &mut Findings) {
    let Some(kafka) = &config.log.kafka else { return };
    for address in kafka.client.brokers.split(',') {
        findings.add(&format!("Kafka broker {address}"), probe::port(address).await);
    }
}

fn checkpoints(config: &ValidConfig, findings: &mut Findings) {
    let Some(url) = &config.checkpoints_url else { return };
    let opened = CheckpointStore::open(url).map(drop).map_err(|error| error.to_string());
    findings.add(&format!("checkpoints at {url}"), opened);
}

async fn clickhouse(config: &ValidConfig, findings: &mut Findings) {
    let settings = &config.clickhouse;
    let Some(url) = &settings.url else { return };
    let what = format!("ClickHouse at {url}");
    let client = settings.client(url.expose());
    let inspection = match migrate::inspect(&client, &settings.migrate.database).await {
        Ok(inspection) => inspection,
        Err(error) => return findings.add(&what, Err(error.to_string())),
    };
    for warning in &inspection.warnings {
        tracing::warn!(%url, "{warning}");
    }
    // Tables that are not there yet are created by `migrate`, or by the first processor.
    let (missing, faults): (Vec<_>, Vec<_>) = inspection
        .faults
        .iter()
        .partition(|fault| matches!(fault, Fault::Missing { .. }));
    if faults.is_empty() {
        findings.add(&what, Ok(()));
        if !missing.is_empty() {
            findings.passed.push_str(&format!(
                "--  {} tables and views are not there yet: `meridian migrate` creates them, or the first `process`\n",
                missing.len()
            ));
        }
        return;
    }
    for fault in faults {
        findings.add(&what, Err(fault.to_string()));
    }
}

async fn redis(config: &ValidConfig, findings: &mut Findings) {
    let Some(url) = &config.redis_url else { return };
    let address = format!("{}:{}", url.host, url.port.unwrap_or(6379));
    findings.add(&format!("Redis at {url}"), probe::port(&address).await);
}
