//! What must be true when everything has healed: lag 0 soon, then every row, every cell and every dead letter as the
//! ledger says. The comparing itself is that of `loadtest`; here stands only what follows from the faults.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use loadtest::{
    Kind,
    oracle::{
        ClickHouseAddress, Expectation, Level, Names, Promise, PublishedCounts, SentEvent, SentPoison, Store, Verdict,
        check_levels, compare_dead_letters, compare_rows,
    },
    publisher::{Entry, Fate},
};
use schemas::Position;

use crate::{
    limits::{BROKER_LOSS_MAX, PATIENCE, POLL_INTERVAL, QUIET},
    load::{Published, device_name},
    stack::Stack,
};

/// What must have become of one tenant's messages.
pub struct Claim {
    /// Owner of the devices.
    pub tenant: String,
    /// Rows that must and may be there.
    pub expectation: Expectation,
    /// Bad messages.
    pub poison: Vec<SentPoison>,
    names: Names,
    counts: PublishedCounts,
}

/// How long it took until nothing was missing, from the last fault or acknowledgement on, whichever came later.
#[derive(Clone, Copy, Debug)]
pub struct Rest {
    /// Until every row and every dead letter was there.
    pub stored: Option<Duration>,
    /// Until every level counted all of them.
    pub rolled_up: Option<Duration>,
    /// Until the processors had committed all that is in the log.
    pub committed: Option<Duration>,
}

/// Where ClickHouse is.
#[must_use]
pub fn address(url: &str) -> ClickHouseAddress {
    ClickHouseAddress {
        url: url.to_owned(),
        database: "meridian".to_owned(),
        credentials: None,
    }
}

/// Works out, tenant by tenant, what must have become of what was published.
///
/// # Panics
/// When the ledger does not have every message once.
#[must_use]
pub fn claims(published: &Published, broker_kills: &[Instant]) -> Vec<Claim> {
    let mut entries: Vec<Option<&Entry>> = vec![None; published.sent.len()];
    for entry in &published.ledger.entries {
        entries[entry.number as usize] = Some(entry);
    }
    let entries: Vec<&Entry> = entries
        .into_iter()
        .map(|entry| entry.expect("the ledger has every message"))
        .collect();
    let tenants = published.tenants.iter().enumerate();
    tenants
        .map(|(index, tenant)| claim_of(published, &entries, index, tenant, broker_kills))
        .collect()
}

fn claim_of(published: &Published, entries: &[&Entry], index: usize, tenant: &str, kills: &[Instant]) -> Claim {
    let mut names = Names::default();
    let mut counts = PublishedCounts::default();
    let (mut events, mut poison) = (Vec::new(), Vec::new());
    for (sent, entry) in published.sent.iter().zip(entries) {
        if sent.tenant != index {
            continue;
        }
        count(&mut counts, sent.message.kind, entry);
        let promise = promise(entry, sent.at, kills);
        if let Kind::Poison(kind) = sent.message.kind {
            // A killed Mosquitto goes back to what it saved last, and delivers again what it had delivered since, without
            // saying that it does.
            let kills_after = kills.iter().filter(|kill| **kill > sent.at).count();
            poison.push(SentPoison {
                topic: sent.message.topic.clone(),
                payload: sent.message.payload.clone(),
                kind,
                promise,
                sent_count: entry.sent_count + kills_after as u32,
            });
        }
        for reading in &sent.readings {
            let place = |(latitude, longitude)| Position::from_degrees(latitude, longitude);
            events.push(SentEvent {
                device: names.number(&device_name(reading.device)),
                ts_ms: reading.ts_ms,
                seq: reading.seq,
                position: reading.place.and_then(place),
                metrics: reading.metrics.map(|(name, value)| (names.number(name), value)).into(),
                payload: reading.text.clone(),
                promise,
            });
        }
    }
    let expectation = Expectation::new(Vec::new(), &events, &mut names);
    counts.events = expectation.must.len() as u64;
    Claim {
        tenant: tenant.to_owned(),
        expectation,
        poison,
        names,
        counts,
    }
}

/// A message without an answer may count or not, and so may one that Mosquitto acknowledged just before it was killed.
fn promise(entry: &Entry, sent_at: Instant, kills: &[Instant]) -> Promise {
    let promise = Promise::from(entry.fate);
    let acknowledged = sent_at + Duration::from_micros(entry.latency_us.into());
    let in_danger = |kill: &Instant| acknowledged <= *kill + BROKER_LOSS_MAX && *kill <= acknowledged + BROKER_LOSS_MAX;
    if promise == Promise::Must && kills.iter().any(in_danger) {
        Promise::May
    } else {
        promise
    }
}

fn count(counts: &mut PublishedCounts, kind: Kind, entry: &Entry) {
    counts.offered += 1;
    counts.sent += u64::from(entry.fate != Fate::Unsent);
    counts.resent += u64::from(entry.sent_count.saturating_sub(1));
    match entry.fate {
        Fate::Acknowledged => counts.acknowledged += 1,
        Fate::Unrouted => counts.unrouted += 1,
        Fate::Refused => counts.refused += 1,
        Fate::Unknown => counts.unknown += 1,
        Fate::Unsent => {}
    }
    match kind {
        Kind::Duplicate => counts.duplicates += 1,
        Kind::Poison(_) => counts.poison += 1,
        Kind::Valid | Kind::Late | Kind::Batch => {}
    }
}

/// What ClickHouse shows of one tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Shown {
    rows: u64,
    letters: u64,
    levels: Vec<u64>,
}

/// Whether a dead letter can only be this tenant's: some messages have lost theirs.
fn names_tenant(topic: &[u8], tenant: &str) -> bool {
    topic.starts_with(format!("telemetry/{tenant}/").as_bytes())
}

async fn look(url: &str, tenant: &str) -> Result<Shown> {
    let store = Store::new(&address(url), tenant);
    let rows = store.row_count().await?;
    let counts = store.level_counts().await?;
    let level = |level: &Level| {
        let count = counts.get(&(level.period_seconds, level.resolution));
        count.copied().unwrap_or(0)
    };
    let letters = store.dead_letters(&HashSet::new()).await?;
    let own = letters.iter().filter(|letter| names_tenant(&letter.topic, tenant));
    Ok(Shown {
        rows,
        letters: own.count() as u64,
        levels: Level::ALL.iter().map(level).collect(),
    })
}

/// Waits until everything that must be there is there and nothing changes any more, or until there is no hope.
///
/// # Errors
/// When ClickHouse does not answer any more.
pub async fn wait_for_rest(stack: &Stack, claims: &[Claim], healed: Instant) -> Result<Rest> {
    let url = &stack.clickhouse_url();
    let mut rest = Rest {
        stored: None,
        rolled_up: None,
        committed: None,
    };
    let (mut last, mut changed) = (Vec::new(), Instant::now());
    loop {
        let mut now = Vec::new();
        for claim in claims {
            match look(url, &claim.tenant).await {
                Ok(shown) => now.push(shown),
                Err(error) if changed.elapsed() > PATIENCE => return Err(error).context("clickhouse stays away"),
                Err(_) => break,
            }
        }
        let is_whole = now.len() == claims.len();
        let pairs = || claims.iter().zip(&now);
        if is_whole && pairs().all(|(claim, shown)| is_stored(claim, shown)) {
            rest.stored = rest.stored.or(Some(healed.elapsed()));
            let rolled_up = now
                .iter()
                .all(|shown| shown.levels.iter().all(|count| *count == shown.rows));
            if rolled_up {
                rest.rolled_up = rest.rolled_up.or(Some(healed.elapsed()));
            }
        }
        if is_whole && now != last {
            (last, changed) = (now, Instant::now());
        }
        // Rows of one partition may hide that those of another are missing, so counting them is not enough.
        if tokio::task::block_in_place(|| stack.lag()) == Some(0) {
            rest.committed = rest.committed.or(Some(healed.elapsed()));
        }
        let is_quiet = rest.rolled_up.is_some() && rest.committed.is_some() && changed.elapsed() >= QUIET;
        if is_quiet || changed.elapsed() > PATIENCE {
            return Ok(rest);
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

fn is_stored(claim: &Claim, shown: &Shown) -> bool {
    let must = |poison: &&SentPoison| poison.promise == Promise::Must && names_tenant(&poison.topic, &claim.tenant);
    shown.rows >= claim.expectation.row_count_min() && shown.letters >= claim.poison.iter().filter(must).count() as u64
}

/// Compares everything of one tenant.
///
/// # Errors
/// When ClickHouse does not answer.
pub async fn judge(url: &str, claim: &mut Claim) -> Result<Verdict> {
    let store = Store::new(&address(url), &claim.tenant);
    store.check_argument_order().await?;
    let names = &mut claim.names;
    let stored = store.rows(names).await?;
    let findings = compare_rows(&claim.expectation, &stored, names);
    let mut verdict = Verdict {
        tenant: claim.tenant.clone(),
        // Without an answer is no fault of the pipeline: what follows from it is checked row by row.
        published: PublishedCounts {
            unknown: 0,
            sent: claim.counts.offered,
            ..claim.counts
        },
        rows: findings.counts,
        ..Verdict::default()
    };
    verdict.rows.repeated_offsets = store.repeated_offsets().await?;
    verdict.add_differences(findings.differences);
    let letters = store.dead_letters(&HashSet::new()).await?;
    let (letter_counts, differences) = compare_dead_letters(&claim.tenant, &claim.poison, &letters);
    verdict.dead_letters = letter_counts;
    verdict.add_differences(differences);
    check_levels(&store, &findings.expected, names, &mut verdict).await?;
    verdict.judge();
    Ok(verdict)
}

/// The numbers of a tenant that must never change again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Its name.
    pub tenant: String,
    shown: Shown,
}

/// Looks at a tenant that has come to rest.
///
/// # Errors
/// When ClickHouse does not answer.
pub async fn settle(url: &str, tenant: &str) -> Result<Settled> {
    let shown = look(url, tenant).await?;
    Ok(Settled {
        tenant: tenant.to_owned(),
        shown,
    })
}

/// Rows of tenants that nobody has published for.
///
/// # Errors
/// When ClickHouse does not answer.
pub async fn strangers(url: &str, tenants: &[String]) -> Result<u64> {
    let client = clickhouse::Client::default().with_url(url).with_database("meridian");
    let sql = "SELECT toUInt64(count()) FROM measurements WHERE NOT has({tenants:Array(String)}, toString(tenant))";
    Ok(client.query(sql).param("tenants", tenants).fetch_one::<u64>().await?)
}
