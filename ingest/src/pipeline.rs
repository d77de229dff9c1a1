//! Wires the stages and runs them: for each connection
//!
//! ```text
//! subscriber --Intake (window + overflow)--> decoder --Decoded (4 batches)--> forwarder --Message--> log
//!      ^                                                                        |   ^
//!      `------ PUBACK, by the client of the connection <------ acker -----------'   `--- Delivery --- log
//! ```
//!
//! Nothing else in this crate spawns tasks.

use std::sync::{Arc, atomic::AtomicU64};

use eventlog::{Log, ProducerLimits};
use platform::{
    clock::Clock,
    health::{Health, Need},
    shutdown::Shutdown,
};
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
    let (trigger, stop) = Shutdown::new();
    let mut tasks = Tasks::new();
    let wiring = Wiring::new(&settings, log, &services, stop);
    for broker in &settings.brokers {
        for (index, filters) in settings.filters(broker).into_iter().enumerate() {
            wiring.connection(broker, index, filters, &mut tasks)?;
        }
    }
    let mut report = interval(limits::REPORT_INTERVAL);
    let mut deadline: Option<Instant> = None;
    let outcome = loop {
        tokio::select! {
            () = services.shutdown.requested(), if deadline.is_none() => {
                trigger.request();
                deadline = Some(Instant::now() + settings.drain_max + limits::DISCONNECT_MAX);
            }
            done = tasks.join_next() => match done {
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
    tasks.shutdown().await;
    show(&services.ledger.snapshot());
    outcome
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

/// What all connections have in common.
struct Wiring<'run> {
    settings: &'run IngestSettings,
    log: &'run Log,
    services: &'run Services,
    stop: Shutdown,
    run: String,
    rules: Rules,
    numbers: Arc<AtomicU64>,
}

impl<'run> Wiring<'run> {
    fn new(settings: &'run IngestSettings, log: &'run Log, services: &'run Services, stop: Shutdown) -> Self {
        let started_at_ms = services.clock.wall_ms();
        Self {
            settings,
            log,
            services,
            stop,
            run: format!("{started_at_ms:x}{:08x}", rand::random::<u32>()),
            rules: Rules {
                routes: settings.routes.clone().into(),
                payload_bytes_max: settings.payload_bytes_max,
                future_skew_ms_max: i64::try_from(settings.future_skew_max.as_millis()).unwrap_or(i64::MAX),
                record_bytes_max: settings.record_bytes_max,
            },
            numbers: Arc::default(),
        }
    }

    /// Starts the stages of one connection.
    fn connection(
        &self,
        broker: &BrokerSettings,
        index: usize,
        filters: Vec<Filter>,
        tasks: &mut Tasks,
    ) -> Result<(), IngestError> {
        let hard_max = messages_hard_max(self.settings.window);
        let client_id = self.settings.client_id(broker, index);
        let occupancy = Arc::new(Occupancy::new(self.settings.window.bytes_max));
        let counts = self.services.ledger.connection(&broker.name);
        let (intake, from_subscriber) = mpsc::channel(hard_max + INTAKE_MARGIN);
        let (decoded, from_decoder) = mpsc::channel(limits::DECODED_BATCHES_MAX);
        let (producer, deliveries) = self.log.producer(ProducerLimits::default())?;
        let stamp = Stamp::new(&broker.name, &self.run, self.settings.record_bytes_max);
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
            numbers: self.numbers.clone(),
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
        let setup_fault = |source: SetupError| IngestError::Source {
            broker: broker.name.clone(),
            source,
        };
        match broker.protocol {
            Protocol::V5 => {
                let source = SourceV5::new(broker, client_id.clone(), hard_max).map_err(setup_fault)?;
                tasks.spawn(self.subscriber(source, broker, filters, reader).run());
            }
            Protocol::V311 => {
                let source = SourceV4::new(broker, client_id.clone(), hard_max).map_err(setup_fault)?;
                tasks.spawn(self.subscriber(source, broker, filters, reader).run());
            }
        }
        tasks.spawn(decoder::run(
            self.rules.clone(),
            stamp,
            occupancy,
            from_subscriber,
            decoded,
        ));
        tasks.spawn(forwarder.run());
        Ok(())
    }

    fn subscriber<S: PublishSource>(
        &self,
        source: S,
        broker: &BrokerSettings,
        filters: Vec<Filter>,
        reader: Reader,
    ) -> Subscriber<S> {
        Subscriber {
            source,
            broker: broker.name.clone(),
            filters,
            keep_alive: broker.keep_alive,
            shutdown: self.stop.clone(),
            reader,
        }
    }
}
