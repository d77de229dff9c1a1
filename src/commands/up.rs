//! `meridian up`: all roles in one process, with every backing service that the configuration does not name.

use std::path::PathBuf;

use clap::Args;
use clickhouse::Client;
use dashboards::Site;
use embedded::mqtt::{HandOver, StandingSession};
use loadtest::fleet::{FleetOptions, run_fleet};

use crate::{
    cli::CommonOptions,
    config::ValidConfig,
    data_dir::{DATA_DIR_DEFAULT, DataDir},
    endpoints::{Endpoints, in_words},
    failure::Failure,
    limits, output, pipeline,
    process::Process,
    services,
    stages::Stages,
    startup,
};

const EXAMPLES: &str = "\
Examples:
  meridian up --demo
  meridian up --data-dir /var/lib/meridian --config meridian.toml
  meridian up --mqtt-port 0 --clickhouse-port 0 --http-port 0 --metrics-port 0

When everything is ready, the addresses are printed and written to `endpoints.json` in the data folder. \
Ctrl-C takes nothing more, counts everything that was acknowledged, and stops. \
Ports of services that the configuration names elsewhere have no effect.";

/// Name of our own broker in events, metrics and client ids.
const OWN_BROKER: &str = "embedded";

/// The simulated fleet is the same at every start.
const FLEET_SEED: u64 = 1;

/// Run everything in one process; services that the configuration does not name are started here
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct UpOptions {
    /// Add a simulated fleet that publishes to the broker
    #[arg(long)]
    demo: bool,
    /// Folder of everything that is kept
    #[arg(long, value_name = "DIR", default_value = DATA_DIR_DEFAULT)]
    data_dir: PathBuf,
    /// Port of the MQTT broker [default: 1883]
    #[arg(long, value_name = "PORT")]
    mqtt_port: Option<u16>,
    /// Port of ClickHouse's HTTP interface [default: 8123]
    #[arg(long, value_name = "PORT")]
    clickhouse_port: Option<u16>,
    /// Port of the web side [default: 8080]
    #[arg(long, value_name = "PORT")]
    http_port: Option<u16>,
    /// Port of metrics and probes [default: 9464]
    #[arg(long, value_name = "PORT")]
    metrics_port: Option<u16>,
}

/// Runs until a signal comes.
///
/// # Errors
/// When something cannot start, fails for good, or does not stop in time.
pub(crate) async fn run(options: &UpOptions, common: &CommonOptions) -> Result<(), Failure> {
    // First of all: a promise of readiness that a killed process left must not outlive this moment.
    let claimed = DataDir::claim_existing(&options.data_dir)?;
    let mut config = common.load()?;
    options.choose_ports(&mut config);
    let data_dir = match claimed {
        Some(data_dir) => data_dir,
        None => DataDir::claim(&options.data_dir)?,
    };
    let process = Process::start()?;
    let mut stages = Stages::default();
    let outcome = match start(&mut stages, &config, &data_dir, options.demo, &process).await {
        Ok(running) => {
            let ready = async {
                process.until_ready().await;
                output::print(&running.table(&data_dir))?;
                running.endpoints.publish(&data_dir.endpoints())
            };
            stages.run(&process.shutdown, ready).await
        }
        Err(failure) => stages.stop().await.and(Err(failure)),
    };
    drop(data_dir);
    outcome
}

impl UpOptions {
    fn choose_ports(&self, config: &mut ValidConfig) {
        for (chosen, listen) in [
            (self.mqtt_port, &mut config.embedded.mqtt_listen),
            (self.clickhouse_port, &mut config.embedded.clickhouse_listen),
            (self.http_port, &mut config.serve_listen),
            (self.metrics_port, &mut config.metrics_listen),
        ] {
            listen.port = chosen.unwrap_or(listen.port);
        }
    }
}

/// What runs, once it runs.
struct Running {
    endpoints: Endpoints,
    /// In the order of an event's path; each with a word about where it is.
    rows: Vec<(&'static str, String)>,
}

impl Running {
    fn table(&self, data_dir: &DataDir) -> String {
        let mut rows = self.rows.clone();
        rows.push(("data", data_dir.path().display().to_string()));
        format!(
            "\nMeridian is ready.\n\n{}\nCtrl-C drains and stops.\n",
            output::table(&rows)
        )
    }
}

/// Starts everything; later parts depend on those before them.
async fn start(
    stages: &mut Stages,
    config: &ValidConfig,
    data_dir: &DataDir,
    demo: bool,
    process: &Process,
) -> Result<Running, Failure> {
    let metrics = services::start_metrics(stages, &config.metrics_listen, process).await?;
    let mut config = config.clone();
    let mut rows = Vec::new();

    let (mqtt, hand_over) = start_broker(stages, &mut config, data_dir, &mut rows).await?;
    let kafka = config.log.kafka.as_ref().map(|kafka| kafka.client.brokers.clone());
    rows.push(match &kafka {
        Some(brokers) => ("event log", format!("Kafka at {brokers}")),
        None => ("event log", "embedded".to_owned()),
    });
    let clickhouse = start_engine(stages, &config, data_dir, &mut rows).await?;
    pipeline::prepare_clickhouse(&config.clickhouse, &clickhouse, process).await?;

    services::check_credentials(&config, &clickhouse).await?;
    let log = pipeline::open_log(&config, data_dir.log()).await?;
    services::keep_log(stages, log.clone());
    pipeline::prepare_log(&log, &config.log, process).await?;
    let checkpoints = config
        .checkpoints_url
        .clone()
        .unwrap_or_else(|| data_dir.checkpoints_url());
    let cache = services::cache(&config, process)?;
    pipeline::start_process(
        stages,
        &config,
        &log,
        &clickhouse,
        &checkpoints,
        Some(cache.clone()),
        process,
    )?;
    pipeline::start_ingest(stages, config.ingest.clone(), log.clone(), hand_over, process);

    let mut site = Site {
        log: Some(log),
        cache: Some(cache),
        access: config.access.clone(),
        ..Site::default()
    };
    for (name, address) in &rows {
        site.start.add(name, address);
    }
    site.start.add("metrics", &metrics);
    let queries = services::queries(&config, &clickhouse);
    let store = queries.client.clone();
    let http = services::start_web(stages, &config.serve_listen, queries, site, process).await?;
    rows.push(("web", in_words(&http, &config.serve_listen)));
    rows.push(("metrics", in_words(&metrics, &config.metrics_listen)));
    if demo {
        start_fleet(stages, &mqtt, store, process);
        rows.push(("fleet", "simulated, tenant `demo`".to_owned()));
    }
    let endpoints = Endpoints {
        mqtt,
        kafka,
        clickhouse,
        http,
        metrics,
    };
    Ok(Running { endpoints, rows })
}

/// A broker of our own where the configuration names none; returns where devices publish to, and what empties our own.
async fn start_broker(
    stages: &mut Stages,
    config: &mut ValidConfig,
    data_dir: &DataDir,
    rows: &mut Vec<(&'static str, String)>,
) -> Result<(String, Option<HandOver>), Failure> {
    if config.ingest.brokers.is_empty() {
        let listen = &config.embedded.mqtt_listen;
        let sessions = sessions_of_ingest(&config.ingest);
        let folder = data_dir.path();
        let broker = services::start_mqtt(stages, listen, folder, &config.ingest, sessions, "--mqtt-port").await?;
        config.ingest.brokers = vec![ingest::BrokerSettings::new(OWN_BROKER, &broker.url)];
        rows.push(("MQTT", in_words(&format!("{} (embedded)", broker.url), listen)));
        return Ok((broker.url, Some(broker.hand_over)));
    }
    for broker in &config.ingest.brokers {
        rows.push(("MQTT", format!("{} ({})", broker.url, broker.name)));
    }
    Ok((config.ingest.brokers[0].url.clone(), None))
}

/// Ingest connects once everything behind it is up, and devices as soon as there is a port: the broker keeps for ingest
/// what it acknowledges until then.
fn sessions_of_ingest(settings: &ingest::IngestSettings) -> Vec<StandingSession> {
    let broker = ingest::BrokerSettings::new(OWN_BROKER, "");
    let connections = settings.filters(&broker).into_iter().enumerate();
    let sessions = connections.map(|(connection, filters)| StandingSession {
        client_id: settings.client_id(&broker, connection),
        filters: filters.into_iter().map(|filter| filter.0).collect(),
    });
    sessions.collect()
}

/// An engine of our own where the configuration names no server; returns where ClickHouse is.
async fn start_engine(
    stages: &mut Stages,
    config: &ValidConfig,
    data_dir: &DataDir,
    rows: &mut Vec<(&'static str, String)>,
) -> Result<String, Failure> {
    if let Some(url) = &config.clickhouse.url {
        rows.push(("ClickHouse", url.to_string()));
        return Ok(url.expose().to_owned());
    }
    let listen = &config.embedded.clickhouse_listen;
    let (embedded, settings) = (&config.embedded, &config.clickhouse);
    let option = "--clickhouse-port";
    let engine = services::start_clickhouse(stages, listen, data_dir.path(), embedded, settings, option).await?;
    let words = format!("{} (embedded {})", engine.url, engine.version);
    rows.push(("ClickHouse", in_words(&words, listen)));
    Ok(engine.url)
}

fn start_fleet(stages: &mut Stages, mqtt: &str, store: Client, process: &Process) {
    let (url, clock, health) = (mqtt.to_owned(), process.clock.clone(), process.health.clone());
    stages.add("fleet", limits::FLEET_DRAIN_MAX, |shutdown| async move {
        // A broker that is not ours drops what arrives before anybody has subscribed.
        tokio::select! {
            () = startup::until_ready(&health) => {}
            () = shutdown.requested() => return Ok(()),
        }
        let mut options = FleetOptions::demo(FLEET_SEED, clock.wall_ms());
        // What was told before a restart has happened, and is not told again in another way.
        let told_ms = told_until_ms(&store, &options.tenant).await?;
        options.history_ms = options.history_ms.min((options.start_ms - told_ms).max(0));
        let report = run_fleet(options, &url, &shutdown).await.map_err(Failure::runtime)?;
        tracing::info!(?report, "the fleet has stopped");
        Ok(())
    });
}

/// The time of the newest event of a tenant; 0 where there is none. One of its clocks is fast, and says the future.
async fn told_until_ms(store: &Client, tenant: &str) -> Result<i64, Failure> {
    let newest = "SELECT toUnixTimestamp64Milli(maxIf(ts, ts <= now64(3))) FROM devices WHERE tenant = ?";
    let newest = store.query(newest).bind(tenant).fetch_one().await;
    newest.map_err(|error| Failure::runtime(format!("cannot ask ClickHouse for the fleet's last events: {error}")))
}
