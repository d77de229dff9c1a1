//! Wires the stages and runs them: for each connection
//!
//! ```text
//! subscriber --Intake (window + overflow)--> decoder --Decoded (4 batches)--> forwarder --Message--> log
//!      ^                                                                        |   ^
//!      `------ PUBACK, by the client of the connection <------ acker -----------'   `--- Delivery --- log
//! ```
//!
//! Nothing else in this crate spawns tasks.

use std::sync::Arc;

use eventlog::{Log, ProducerLimits};
use platform::{
    clock::Clock,
    health::{Health, Need},
    shutdown::{Shutdown, ShutdownTrigger},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, interval, sleep_until},
};

use crate::{
    IngestError, Ledger,
    acker::Acker,
    bridge::{Session, Stamp, Window, pressure::messages_hard_max},
    config::{BrokerSettings, Filter, IngestSettings, Protocol},
    decoder::{self, Rules},
    forwarder::Forwarder,
    limits,
    metrics::show,
    occupancy::Occupancy,
    source::{PublishSource, SetupError, SourceV4, SourceV5},
    subscriber::{Reader, Subscriber},
};

/// Room in the intake beside messages: a greeting for each connection that comes up while the decoder is busy.
const INTAKE_MARGIN: usize = 16;

/// What ingest is given by its process.
#[derive(Clone)]
pub struct Services {
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
    /// When to stop.
    pub shutdown: Shutdown,
    /// Where to say how things are: one component per connection, and one for the log behind it.
    pub health: Health,
    /// Where to count.
    pub ledger: Ledger,
}

type Tasks = JoinSet<Result<(), IngestError>>;

/// Reads the brokers into the log until shutdown. The topics must exist.
///
/// On shutdown nothing more is taken in, what was taken in is confirmed and acknowledged (within `drain_max`), and the
/// connections are closed; the sessions stay at the brokers.
///
/// # Errors
/// [`IngestError`]: settings, or a fault that only a person or a restart cures. Unacknowledged messages stay with the
/// brokers.
pub async fn run(settings: IngestSettings, log: &Log, services: Services) -> Result<(), IngestError> {
    settings.check()?;
    let mut wiring = Wiring::new(&settings, log, &services, rand::random());
    for connection in wiring.connections() {
        let (broker, client_id) = (connection.broker, connection.client_id.clone());
        let room = wiring.messages_hard_max();
        let setup_fault = |source: SetupError| IngestError::Source {
            broker: broker.name.clone(),
            source,
        };
        match broker.protocol {
            Protocol::V5 => {
                let source = SourceV5::new(broker, client_id, room).map_err(setup_fault)?;
                wiring.start(connection, source)?;
            }
            Protocol::V311 => {
                let source = SourceV4::new(broker, client_id, room).map_err(setup_fault)?;
                wiring.start(connection, source)?;
            }
        }
    }
    wiring.watch_over().await
}

/// As [`run`], over brokers that are reached by other means than the network: for simulation. `source` makes the one of
/// a broker's connection, by its settings and client id. Everything that is random follows from `seed`; two runs of one
/// instance must not have the same.
///
/// # Errors
/// As [`run`].
pub async fn run_on<S: PublishSource + 'static>(
    settings: IngestSettings,
    log: &Log,
    services: Services,
    seed: u64,
    source: impl Fn(&BrokerSettings, &str) -> S + Send,
) -> Result<(), IngestError> {
    settings.check()?;
    let mut wiring = Wiring::new(&settings, log, &services, seed);
    for connection in wiring.connections() {
        let source = source(connection.broker, &connection.client_id);
        wiring.start(connection, source)?;
    }
    wiring.watch_over().await
}

fn internal(reason: &str) -> IngestError {
    IngestError::Internal {
        reason: reason.to_owned(),
    }
}

fn say_undrained(ledger: &Ledger) {
    for (broker, totals) in ledger.snapshot() {
        if totals.in_flight > 0 {
            let in_flight = totals.in_flight;
            tracing::warn!(
                broker,
                in_flight,
                "stopped before the log confirmed all messages; the broker sends them again"
            );
        }
    }
}

/// One connection that is to be kept up.
struct Connection<'run> {
    broker: &'run BrokerSettings,
    client_id: String,
    filters: Vec<Filter>,
}

/// What all connections have in common, and their stages once started.
struct Wiring<'run> {
    settings: &'run IngestSettings,
    log: &'run Log,
    services: &'run Services,
    trigger: ShutdownTrigger,
    stop: Shutdown,
    started_at_ms: i64,
    random: StdRng,
    rules: Rules,
    tasks: Tasks,
}

impl<'run> Wiring<'run> {
    fn new(settings: &'run IngestSettings, log: &'run Log, services: &'run Services, seed: u64) -> Self {
        let (trigger, stop) = Shutdown::new();
        Self {
            settings,
            log,
            services,
            trigger,
            stop,
            started_at_ms: services.clock.wall_ms(),
            random: StdRng::seed_from_u64(seed),
            rules: Rules {
                routes: settings.routes.clone().into(),
                payload_bytes_max: settings.payload_bytes_max,
                future_skew_ms_max: i64::try_from(settings.future_skew_max.as_millis()).unwrap_or(i64::MAX),
                record_bytes_max: settings.record_bytes_max,
            },
            tasks: Tasks::new(),
        }
    }

    /// All connections of all brokers, in the order of the settings.
    fn connections(&self) -> Vec<Connection<'run>> {
        let settings = self.settings;
        let of_broker = |broker: &'run BrokerSettings| {
            let filters = settings.filters(broker).into_iter().enumerate();
            filters.map(move |(index, filters)| Connection {
                broker,
                client_id: settings.client_id(broker, index),
                filters,
            })
        };
        settings.brokers.iter().flat_map(of_broker).collect()
    }

    fn messages_hard_max(&self) -> usize {
        messages_hard_max(self.settings.window)
    }

    /// Starts the stages of one connection.
    fn start<S: PublishSource + 'static>(&mut self, connection: Connection<'_>, source: S) -> Result<(), IngestError> {
        let Connection {
            broker,
            client_id,
            filters,
        } = connection;
        let occupancy = Arc::new(Occupancy::new(self.settings.window.bytes_max));
        let counts = self.services.ledger.connection(&broker.name);
        let (intake, from_subscriber) = mpsc::channel(self.messages_hard_max() + INTAKE_MARGIN);
        let (decoded, from_decoder) = mpsc::channel(limits::DECODED_BATCHES_MAX);
        let (producer, deliveries) = self.log.producer(ProducerLimits::default())?;
        let run = format!("{:x}{:08x}", self.started_at_ms, self.random.random::<u32>());
        let stamp = Stamp::new(&broker.name, &client_id, &run, self.settings.record_bytes_max);
        let clock = &self.services.clock;
        let health = |what: &str| {
            let name = format!("{what} {client_id}");
            self.services.health.component(&name, Need::Required)
        };

        let reader = Reader {
            window: self.settings.window,
            whole_payload_bytes_max: self.settings.payload_bytes_max.max(self.settings.record_bytes_max),
            occupancy: occupancy.clone(),
            counts: counts.clone(),
            health: health("mqtt"),
            clock: clock.clone(),
            intake,
            received_count: 0,
            received_before: 0,
            session: Session::default(),
            received_at_ms: 0,
            batch: Vec::new(),
        };
        let forwarder = Forwarder {
            window: Window::new(stamp.clone()),
            acker: Acker::new(&broker.name, clock.clone()),
            stamp: stamp.clone(),
            producer,
            deliveries,
            decoded: from_decoder,
            occupancy: occupancy.clone(),
            counts,
            health: health("log"),
            clock: clock.clone(),
        };
        let subscriber = Subscriber {
            source,
            broker: broker.name.clone(),
            filters,
            keep_alive: broker.keep_alive,
            shutdown: self.stop.clone(),
            seed: self.random.random(),
            reader,
        };
        self.tasks.spawn(subscriber.run());
        let rules = self.rules.clone();
        self.tasks
            .spawn(decoder::run(rules, stamp, occupancy, from_subscriber, decoded));
        self.tasks.spawn(forwarder.run());
        Ok(())
    }

    /// Waits for the end of all stages: after a shutdown, or by the fault of one.
    async fn watch_over(mut self) -> Result<(), IngestError> {
        let services = self.services;
        let mut report = interval(limits::REPORT_INTERVAL);
        let mut deadline: Option<Instant> = None;
        let outcome = loop {
            tokio::select! {
                // The order is fixed, so that a simulation that is run again takes the same turns.
                biased;
                () = services.shutdown.requested(), if deadline.is_none() => {
                    self.trigger.request();
                    deadline = Some(Instant::now() + self.settings.drain_max + limits::DISCONNECT_MAX);
                }
                done = self.tasks.join_next() => match done {
                    None => break Ok(()),
                    Some(Ok(Ok(()))) if deadline.is_some() => {}
                    Some(Ok(Err(error))) => break Err(error),
                    Some(Ok(Ok(()))) => break Err(internal("it stopped on its own")),
                    Some(Err(panic)) => break Err(internal(&panic.to_string())),
                },
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    say_undrained(&services.ledger);
                    break Ok(());
                }
                _ = report.tick() => show(&services.ledger.snapshot()),
            }
        };
        self.tasks.shutdown().await;
        show(&services.ledger.snapshot());
        outcome
    }
}
