//! ClickHouse as queries see it: bounded in time, rows, memory and number, in turns, and its failures as problems.
//!
//! Must never put a value into the text of a query: values are bound.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use clickhouse::{Client, RowOwned, RowRead, error::Error, query::Query};
use platform::{health::HealthReporter, shutdown::Shutdown};
use tokio::time::{Instant, timeout};

use super::{
    pace::Pace,
    problem::{Kind, Problem},
    turns::{Class, Turns},
};
use crate::{limits, metrics::StoreMetrics};

/// A store that can be asked, by somebody.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    shared: Arc<Shared>,
    class: Class,
    /// Whose queries take turns with those of others.
    share: String,
}

#[derive(Debug)]
struct Shared {
    client: Client,
    turns: Arc<Turns>,
    pace: Mutex<Pace>,
    started: Instant,
    metrics: StoreMetrics,
}

impl Store {
    /// `client` knows server, user and database.
    pub(crate) fn new(client: Client) -> Self {
        let client = client
            .with_setting("readonly", "2")
            .with_setting("max_execution_time", limits::QUERY_TIME_MAX.as_secs().to_string())
            .with_setting("timeout_overflow_mode", "throw")
            .with_setting("max_rows_to_read", limits::ROWS_READ_MAX.to_string())
            .with_setting("read_overflow_mode", "throw")
            .with_setting("max_memory_usage", limits::QUERY_MEMORY_BYTES_MAX.to_string());
        let shared = Shared {
            client,
            turns: Arc::default(),
            pace: Mutex::default(),
            started: Instant::now(),
            metrics: StoreMetrics::new(),
        };
        Self {
            shared: Arc::new(shared),
            class: Class::View,
            share: String::new(),
        }
    }

    /// The same store, for queries of this class that count as of this share.
    pub(crate) fn of(&self, class: Class, share: &str) -> Self {
        Self {
            shared: self.shared.clone(),
            class,
            share: share.to_owned(),
        }
    }

    /// Whether questions are those of exports.
    pub(crate) fn is_for_exports(&self) -> bool {
        self.class == Class::Export
    }

    /// A question whose parameters are still to be given.
    pub(crate) fn query(&self, sql: &str) -> Query {
        self.shared.client.query_raw(sql)
    }

    /// True when a question would have to wait for its turn.
    pub(crate) fn is_busy(&self) -> bool {
        self.shared.turns.is_busy(self.class, &self.share)
    }

    /// True while it does not keep up with the queries of this share, or with all, and answers should cost it less.
    pub(crate) fn is_lite(&self) -> bool {
        let waiting = self.shared.turns.waiting();
        self.shared
            .pace()
            .is_lite(&self.share, self.shared.started.elapsed(), waiting)
    }

    /// All rows of the answer.
    ///
    /// # Errors
    /// When the server is away, too busy, or the question asks too much of it.
    pub(crate) async fn rows<T: RowOwned + RowRead>(&self, query: Query) -> Result<Vec<T>, Problem> {
        let _place = self.shared.turns.take(self.class, &self.share).await?;
        let began_at = Instant::now();
        let answer = timeout(limits::ANSWER_WAIT_MAX, query.fetch_all()).await;
        let (answer, took) = (answer.unwrap_or(Err(Error::TimedOut)), began_at.elapsed());
        // What is refused says nothing about how quick it is, unless it had all the time there is. Exports may take their
        // time, and live maps ask for nobody in particular.
        let is_telling = answer.is_ok() || took >= limits::QUERY_TIME_MAX;
        if is_telling && self.class == Class::View {
            self.shared
                .pace()
                .ended(&self.share, self.shared.started.elapsed(), took);
        }
        answer.map_err(|error| problem(&error))
    }

    /// Keeps `health` told whether the server answers, until shutdown.
    pub(crate) async fn watch(self, health: HealthReporter, shutdown: Shutdown) {
        let (mut has_answered, mut missed) = (false, 0);
        loop {
            self.shared.measure();
            let probe = self.query("SELECT 1").fetch_one::<u8>();
            let fault = match timeout(limits::PROBE_INTERVAL, probe).await {
                Ok(Ok(_)) => None,
                Ok(Err(error)) => Some(format!("ClickHouse: {error}")),
                Err(_elapsed) => Some("ClickHouse does not answer".to_owned()),
            };
            missed = if fault.is_some() { missed + 1 } else { 0 };
            match fault {
                None => {
                    has_answered = true;
                    health.ready();
                }
                Some(fault) if has_answered && missed < limits::PROBES_MISSED_MAX => health.degraded(fault),
                Some(fault) => health.failed(fault),
            }
            tokio::select! {
                () = shutdown.requested() => return,
                () = tokio::time::sleep(limits::PROBE_INTERVAL) => {}
            }
        }
    }
}

impl Shared {
    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lite mode lasts longer than the pauses between two of these.
    fn measure(&self) {
        let waiting = self.turns.waiting();
        let (is_for_everybody, shares) = self.pace().lite(self.started.elapsed(), waiting);
        self.metrics.lite.set(f64::from(u8::from(is_for_everybody)));
        self.metrics.lite_shares.set(shares as f64);
    }
}

/// What a client is told of a failure; the failure itself goes to the log.
fn problem(error: &Error) -> Problem {
    const TOO_MUCH: [u32; 7] = [158, 159, 160, 191, 241, 307, 396];
    const BUSY: [u32; 2] = [202, 203];
    const AWAY: [u32; 4] = [209, 210, 242, 394];
    const NO_SCHEMA: [u32; 3] = [47, 60, 81];
    match error {
        Error::Network(_) | Error::TimedOut => {
            tracing::warn!(%error, "ClickHouse does not answer a query");
            Problem::new(Kind::Unavailable, "ClickHouse does not answer; try again in a moment")
        }
        Error::BadResponse(text) => match server_code(text) {
            Some(code) if TOO_MUCH.contains(&code) => {
                tracing::info!(%error, "a query asked too much");
                let detail = "the query takes too long or reads too much; ask for a shorter time, a longer period, a \
                              coarser resolution or one tenant";
                Problem::new(Kind::TooLarge, detail)
            }
            Some(code) if BUSY.contains(&code) => Problem::new(Kind::Busy, "ClickHouse is busy; come back in a moment"),
            Some(code) if NO_SCHEMA.contains(&code) => {
                tracing::error!(%error, "the schema is not there");
                Problem::new(
                    Kind::Unavailable,
                    "the tables are not there, or too old: run `meridian migrate`",
                )
            }
            Some(code) if !AWAY.contains(&code) => internal(error),
            _ => {
                tracing::warn!(%error, "ClickHouse cannot answer a query");
                Problem::new(Kind::Unavailable, "ClickHouse cannot answer now; try again in a moment")
            }
        },
        other => internal(other),
    }
}

fn internal(error: &Error) -> Problem {
    tracing::error!(%error, "a query failed");
    Problem::new(Kind::Internal, "the query failed; the log of this server says why")
}

/// The number in `Code: 241. DB::Exception: ...`.
fn server_code(text: &str) -> Option<u32> {
    let rest = text.split_once("Code: ")?.1;
    rest.split_once('.')?.0.parse().ok()
}
