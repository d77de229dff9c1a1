//! A replay from file to verdict: read, publish with a ledger, wait until drained, compare every row and cell.

use std::{
    collections::HashSet,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use platform::{
    clock::{Clock, SystemClock},
    shutdown::Shutdown,
};
use schemas::name::is_identifier;
use tokio::time::Instant;

use super::{ColumnMap, Plan, PlanOptions, Table, read_file, sent::Sent};
use crate::{
    LoadtestError,
    limits::{ACKNOWLEDGEMENT_WAIT_MAX, DRAIN_STALL_MAX, INFLIGHT_MAX_DEFAULT},
    message::Kind,
    oracle::{
        ClickHouseAddress, DrainGoal, Expectation, Latencies, Names, Promise, PublishedCounts, Store, Verdict,
        check_levels, compare_dead_letters, compare_rows, drain,
    },
    publisher::{Fate, Ledger, Outgoing, PublishError, Publisher, PublisherOptions},
};

/// What to replay, and how.
#[derive(Clone, Debug)]
pub struct ReplayOptions {
    /// A CSV with a header line; also .gz.
    pub file: PathBuf,
    /// Which columns become which fields.
    pub map: ColumnMap,
    /// Owner of the devices. Nobody else may publish for it during the run; what is there before is taken into account.
    pub tenant: String,
    /// Share of events that are published twice, 0 to 1.
    pub duplicates: f64,
    /// Bad messages for each good one, 0 to 1.
    pub poison: f64,
    /// Messages a second; 0: as fast as they are acknowledged.
    pub rate_per_second: f64,
    /// Which messages are doubled, and where the bad ones come, follows from this.
    pub seed: u64,
    /// MQTT connections to share the devices among.
    pub connections: usize,
    /// Messages under way on one connection.
    pub inflight_max: u16,
    /// At the end, time without anything new in ClickHouse after which what is missing counts as lost.
    pub drain_patience: Duration,
    /// Where the report goes.
    pub report: Option<PathBuf>,
}

impl ReplayOptions {
    /// Everything once, a twentieth twice, one in a hundred bad, as fast as it is acknowledged.
    #[must_use]
    pub fn new(file: impl Into<PathBuf>, map: ColumnMap) -> Self {
        Self {
            file: file.into(),
            map,
            tenant: "replay".to_owned(),
            duplicates: 0.05,
            poison: 0.01,
            rate_per_second: 0.0,
            seed: 1,
            connections: 4,
            inflight_max: INFLIGHT_MAX_DEFAULT,
            drain_patience: DRAIN_STALL_MAX,
            report: None,
        }
    }

    fn check(&self) -> Result<(), LoadtestError> {
        let error = |option, value: String, expected| {
            Err(LoadtestError::Option {
                option,
                value,
                expected,
            })
        };
        for (option, share) in [("duplicates", self.duplicates), ("poison", self.poison)] {
            if !(0.0..=1.0).contains(&share) {
                return error(option, share.to_string(), "use a share from 0 to 1");
            }
        }
        if !(self.rate_per_second.is_finite() && self.rate_per_second >= 0.0) {
            return error(
                "rate",
                self.rate_per_second.to_string(),
                "use messages a second, or 0 for no limit",
            );
        }
        if !is_identifier(&self.tenant) {
            return error("tenant", self.tenant.clone(), "use `[A-Za-z0-9._:-]{1,128}`");
        }
        Ok(())
    }
}

/// Where the system under test is.
#[derive(Clone, Debug)]
pub struct Endpoints {
    /// `mqtt://host:port`.
    pub mqtt: String,
    /// User name and password for MQTT, if the broker wants them.
    pub mqtt_credentials: Option<(String, String)>,
    /// ClickHouse with the views to check.
    pub clickhouse: ClickHouseAddress,
}

/// Replays a file and checks everything that has become of it. The verdict says whether all is well; it is also written
/// to [`ReplayOptions::report`].
///
/// # Errors
/// When there can be no verdict: see [`LoadtestError`].
pub async fn replay(
    options: &ReplayOptions,
    endpoints: &Endpoints,
    shutdown: &Shutdown,
) -> Result<Verdict, LoadtestError> {
    options.check()?;
    let table = read(options).await?;
    let store = Store::new(&endpoints.clickhouse, &options.tenant);
    store.check_argument_order().await?;
    let mut names = Names::default();
    let before = store.rows(&mut names).await?;
    let letters_before = store.dead_letter_ids().await?;

    let now_ms = SystemClock::new().wall_ms();
    let newest_ms = table.events.iter().map(|event| event.ts_ms).max().unwrap_or(now_ms);
    let shift_ms = now_ms - newest_ms;
    let plan_options = PlanOptions {
        tenant: options.tenant.clone(),
        shift_ms,
        duplicates: options.duplicates,
        poison: options.poison,
        seed: options.seed,
        run: now_ms.unsigned_abs(),
    };
    let published = publish(options, endpoints, &table, plan_options.clone(), shutdown).await?;
    let sent = Sent::collect(&table, plan_options, &published.ledger, &mut names);
    let expectation = Expectation::new(before, &sent.events, &mut names);
    let must_letters = sent.poison.iter().filter(|poison| poison.promise == Promise::Must);
    let goal = DrainGoal {
        rows: expectation.row_count_min(),
        dead_letters: must_letters.count() as u64,
    };
    let drained = drain(&store, goal, &letters_before, options.drain_patience, shutdown).await?;

    let mut verdict = Verdict {
        tenant: options.tenant.clone(),
        seed: options.seed,
        shift_ms,
        published: PublishedCounts {
            events: expectation.must.len() as u64,
            skipped_rows: table.skipped_count,
            ..published.counts
        },
        publish_seconds: published.elapsed.as_secs_f64(),
        publish_rate: published.counts.acknowledged as f64 / published.elapsed.as_secs_f64().max(1e-9),
        drain_seconds: drained.as_secs_f64(),
        puback_latency: latencies(&published.ledger),
        ..Verdict::default()
    };
    compare(&store, &expectation, &sent, &letters_before, &mut names, &mut verdict).await?;
    verdict.judge();
    if let Some(path) = &options.report {
        verdict.write(path)?;
    }
    Ok(verdict)
}

async fn read(options: &ReplayOptions) -> Result<Table, LoadtestError> {
    let (path, map) = (options.file.clone(), options.map.clone());
    let reading = tokio::task::spawn_blocking(move || read_file(&path, &map));
    let table = reading.await.expect("reading does not panic")?;
    if table.events.is_empty() {
        return Err(LoadtestError::NothingToPublish {
            path: options.file.clone(),
            reason: table.first_skipped,
        });
    }
    if let Some(reason) = &table.first_skipped {
        let skipped_count = table.skipped_count;
        tracing::warn!(skipped_count, reason, "rows that cannot become an event are left out");
    }
    Ok(table)
}

async fn compare(
    store: &Store,
    expectation: &Expectation,
    sent: &Sent,
    letters_before: &HashSet<String>,
    names: &mut Names,
    verdict: &mut Verdict,
) -> Result<(), LoadtestError> {
    let stored = store.rows(names).await?;
    let findings = compare_rows(expectation, &stored, names);
    drop(stored);
    verdict.rows = findings.counts;
    verdict.rows.repeated_offsets = store.repeated_offsets().await?;
    verdict.add_differences(findings.differences);
    let letters = store.dead_letters(letters_before).await?;
    let (letter_counts, differences) = compare_dead_letters(&verdict.tenant, &sent.poison, &letters);
    verdict.dead_letters = letter_counts;
    verdict.add_differences(differences);
    check_levels(store, &findings.expected, names, verdict).await
}

/// What was published and how it went.
struct Published {
    ledger: Ledger,
    counts: PublishedCounts,
    elapsed: Duration,
}

async fn publish(
    options: &ReplayOptions,
    endpoints: &Endpoints,
    table: &Table,
    plan_options: PlanOptions,
    shutdown: &Shutdown,
) -> Result<Published, LoadtestError> {
    // A name of its own, so that two replays do not throw each other out.
    let start_ms = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis();
    let prefix = format!("replay-{}-{start_ms}", std::process::id());
    let publisher_options = PublisherOptions {
        connections: options.connections,
        inflight_max: options.inflight_max,
        credentials: endpoints.mqtt_credentials.clone(),
        ..PublisherOptions::new(&endpoints.mqtt, prefix)
    };
    let publisher = Publisher::connect(&publisher_options, shutdown).await?;
    let started = Instant::now();
    let mut counts = PublishedCounts::default();
    for (number, step) in (0..).zip(Plan::new(table, plan_options)) {
        match step.message.kind {
            Kind::Duplicate => counts.duplicates += 1,
            Kind::Poison(_) => counts.poison += 1,
            Kind::Valid | Kind::Late | Kind::Batch => {}
        }
        counts.offered += 1;
        let intended = if options.rate_per_second > 0.0 {
            let due = started + Duration::from_secs_f64(number as f64 / options.rate_per_second);
            tokio::time::sleep_until(due).await;
            due
        } else {
            Instant::now()
        };
        let outgoing = Outgoing {
            number,
            message: step.message,
            intended,
        };
        publisher.publish(outgoing, shutdown).await?;
    }
    let finishing = publisher.finish(ACKNOWLEDGEMENT_WAIT_MAX);
    let ledger = tokio::select! {
        biased;
        () = shutdown.requested() => return Err(PublishError::Shutdown.into()),
        ledger = finishing => ledger,
    };
    let counts = PublishedCounts {
        sent: counts.offered - ledger.count(Fate::Unsent),
        acknowledged: ledger.count(Fate::Acknowledged),
        unrouted: ledger.count(Fate::Unrouted),
        refused: ledger.count(Fate::Refused),
        unknown: ledger.count(Fate::Unknown),
        resent: ledger.resent_count,
        reconnects: ledger.reconnect_count,
        unsolicited: ledger.unsolicited_count,
        ..counts
    };
    let elapsed = started.elapsed();
    Ok(Published {
        ledger,
        counts,
        elapsed,
    })
}

fn latencies(ledger: &Ledger) -> Latencies {
    let at = ledger.latencies_ms(&[0.5, 0.9, 0.99, 1.0]);
    Latencies {
        p50_ms: at[0],
        p90_ms: at[1],
        p99_ms: at[2],
        max_ms: at[3],
    }
}
