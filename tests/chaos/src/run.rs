//! A run from the first start to the report: rounds of faults, each followed by healing and a comparison of everything.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use crate::{
    check::{self, Settled},
    corrupt::Corruption,
    fault::Part,
    limits,
    load::{self, LoadOptions, Published},
    nemesis::{Happened, Nemesis},
    report::{Report, Round},
    schedule::{Deck, Step},
    stack::Stack,
    watch::{self, Watch},
};

/// What to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// The `meridian` program.
    pub program: PathBuf,
    /// Schedule and load follow from it.
    pub seed: u64,
    /// Rounds of faults go on for at least so long; always one.
    pub at_least: Duration,
    /// And until there were so many faults.
    pub faults_min: u64,
    /// Faults in a round.
    pub faults_per_round: usize,
    /// Messages a second.
    pub rate: u32,
    /// How often ClickHouse is killed in the middle of an INSERT, after the rounds.
    pub insert_kills: u32,
    /// Whether disks become full; needs the right to mount.
    pub with_disks: bool,
    /// Where report and logs go.
    pub out: PathBuf,
    /// The command that repeats the run.
    pub repeat: String,
    /// Is told what was done, a line at a time.
    pub progress: fn(&str),
}

/// What hurts in a round.
enum Hurt {
    Steps(Vec<Step>),
    InsertKills(u32),
    LostCheckpoints,
}

struct Suite {
    options: Options,
    stack: Arc<Stack>,
    nemesis: Arc<Nemesis>,
    started: Instant,
    settled: Vec<Settled>,
    tenants: Vec<String>,
    report: Report,
    /// What the checker itself is checked with.
    sample: Option<check::Claim>,
}

/// Runs everything. The report is written to [`Options::out`], with logs beside it unless all is clean.
///
/// # Errors
/// When the processes cannot be started, or ClickHouse stays away for good.
///
/// # Panics
/// When a daemon is missing; the message says what to do.
pub async fn run(options: Options) -> Result<Report> {
    let started = Instant::now();
    let (program, with_disks) = (options.program.clone(), options.with_disks);
    let starting = tokio::task::spawn_blocking(move || Stack::start(&program, with_disks));
    let stack = Arc::new(starting.await?.context("cannot start the processes")?);
    let watch = Watch::start(Arc::clone(&stack), started);
    let mut suite = Suite {
        nemesis: Arc::new(Nemesis::new(Arc::clone(&stack), started)),
        report: Report {
            seed: options.seed,
            repeat: options.repeat.clone(),
            ..Report::default()
        },
        stack: Arc::clone(&stack),
        options,
        started,
        settled: Vec::new(),
        tenants: Vec::new(),
        sample: None,
    };
    let outcome = suite.all_rounds().await;
    let seen = watch.finish();
    suite.judge_memory(&seen);
    if let Err(error) = outcome {
        suite.report.faults_found.push(format!("the run broke off: {error:#}"));
    }
    let mut report = suite.report;
    report.seconds = started.elapsed().as_secs_f64();
    report.clean = report.faults_found.is_empty();
    report.write(&suite.options.out)?;
    if !report.clean {
        stack.keep_logs(&suite.options.out.join("logs"))?;
    }
    tokio::task::spawn_blocking(move || drop(stack)).await?;
    Ok(report)
}

impl Suite {
    async fn all_rounds(&mut self) -> Result<()> {
        if !self.options.with_disks {
            self.report
                .left_out
                .push("full disks: small disks were not asked for".to_owned());
        }
        let mut deck = Deck::new(self.options.seed, self.options.with_disks);
        let mut number = 1;
        loop {
            let steps = deck.round(self.options.faults_per_round);
            self.round(&format!("round-{number}"), Hurt::Steps(steps)).await?;
            number += 1;
            let enough =
                self.started.elapsed() >= self.options.at_least && self.report.fault_count() >= self.options.faults_min;
            // A verdict that is not clean does not become clean: what led to it should stay near the end of the logs.
            if enough || !self.report.faults_found.is_empty() {
                break;
            }
        }
        self.round("insert-kills", Hurt::InsertKills(self.options.insert_kills))
            .await?;
        self.round("lost-checkpoints", Hurt::LostCheckpoints).await?;
        self.judge_settled().await?;
        if self.report.faults_found.is_empty() {
            self.corrupt().await?;
        }
        Ok(())
    }

    async fn round(&mut self, name: &str, hurt: Hurt) -> Result<()> {
        let began = Instant::now();
        let stop = Arc::new(AtomicBool::new(false));
        let tenants: Vec<String> = (0..load::TENANTS)
            .map(|index| format!("{name}-tenant-{index}"))
            .collect();
        let load = tokio::spawn(load::publish(
            LoadOptions {
                url: self.stack.mqtt_url(),
                tenants: tenants.clone(),
                seed: self.options.seed ^ began.duration_since(self.started).as_secs(),
                rate: self.options.rate,
            },
            Arc::clone(&stop),
        ));
        let happened = self.hurt(hurt).await?;
        let healed = Instant::now();
        // What comes after all faults must count as well.
        tokio::time::sleep(Duration::from_secs(1)).await;
        stop.store(true, Ordering::Relaxed);
        let published = load.await?.context("the devices gave up")?;
        let mut round = Round {
            name: name.to_owned(),
            began_ms: began.duration_since(self.started).as_millis() as u64,
            faults: happened.len(),
            acknowledged_seconds: (published.finished - healed).as_secs_f64(),
            ..Round::default()
        };
        self.note(name, happened);
        self.compare(&mut round, &published).await?;
        let seconds = self.started.elapsed().as_secs();
        (self.options.progress)(&format!(
            "{seconds:>5} s: {name}: {} faults, {} events, {} faults found",
            round.faults,
            round.events,
            self.report.faults_found.len()
        ));
        self.report.rounds.push(round);
        // For who looks while it runs, and for what was known if it is killed.
        self.report.write(&self.options.out)?;
        for tenant in &tenants {
            self.settled
                .push(check::settle(&self.stack.clickhouse_url(), tenant).await?);
        }
        self.tenants.extend(tenants);
        Ok(())
    }

    async fn hurt(&self, hurt: Hurt) -> Result<Vec<Happened>> {
        let nemesis = Arc::clone(&self.nemesis);
        Ok(match hurt {
            Hurt::Steps(steps) => nemesis.go_through(&steps).await,
            Hurt::InsertKills(count) => tokio::task::spawn_blocking(move || nemesis.kill_during_inserts(count)).await?,
            Hurt::LostCheckpoints => {
                // Some of it is before the loss, some after.
                tokio::time::sleep(Duration::from_secs(3)).await;
                tokio::task::spawn_blocking(move || nemesis.lose_checkpoints()).await?
            }
        })
    }

    fn note(&mut self, round: &str, happened: Vec<Happened>) {
        for one in happened {
            *self.report.faults_by_kind.entry(one.kind.to_owned()).or_default() += 1;
            if let Some(error) = &one.error {
                self.report
                    .faults_found
                    .push(format!("{round}: {}: {error}", one.fault));
            }
            self.report.schedule.push(one);
        }
    }

    async fn compare(&mut self, round: &mut Round, published: &Published) -> Result<()> {
        let url = self.stack.clickhouse_url();
        let mut claims = check::claims(published, &self.nemesis.broker_kills());
        let rest = check::wait_for_rest(&self.stack, &claims, published.finished).await?;
        let mut fault = |what: String| self.report.faults_found.push(format!("{}: {what}", round.name));
        for (time, max, what) in [
            (rest.stored, limits::STORED_MAX, "in `measurements`"),
            (rest.rolled_up, limits::ROLLED_UP_MAX, "in every level of the rollups"),
            (rest.committed, limits::COMMITTED_MAX, "committed by the processors"),
        ] {
            match time {
                Some(time) if time <= max => {}
                Some(time) => fault(format!("all was {what} after {time:.1?} only, {max:?} are allowed")),
                None => fault(format!("not all is {what}")),
            }
        }
        round.stored_seconds = rest.stored.map(|time| time.as_secs_f64());
        round.rolled_up_seconds = rest.rolled_up.map(|time| time.as_secs_f64());
        round.committed_seconds = rest.committed.map(|time| time.as_secs_f64());
        // After a lost checkpoint, what is read again has been committed before: there, only the rows tell.
        let verdicts = loop {
            let mut verdicts = Vec::new();
            for claim in &mut claims {
                verdicts.push(check::judge(&url, claim).await?);
            }
            let is_clean = verdicts.iter().all(|verdict| verdict.clean);
            if is_clean || published.finished.elapsed() > limits::COMMITTED_MAX {
                break verdicts;
            }
            tokio::time::sleep(limits::QUIET).await;
        };
        for (claim, verdict) in claims.iter().zip(verdicts) {
            for found in &verdict.faults {
                fault(format!("{}: {found}", claim.tenant));
            }
            round.events += claim.expectation.must.len() as u64;
            round.may_events += claim.expectation.may.len() as u64;
            round.acknowledged += verdict.published.acknowledged;
            round.verdicts.push(verdict);
        }
        // Nothing that may be missing, and as much as possible of the rest.
        let worth = |claim: &check::Claim| {
            let is_certain = claim.expectation.may.is_empty() && !claim.poison.is_empty();
            (is_certain, claim.expectation.must.len())
        };
        self.sample = self.sample.take().into_iter().chain(claims).max_by_key(worth);
        round.resent = published.ledger.resent_count;
        round.unknown = published.ledger.count(loadtest::publisher::Fate::Unknown);
        Ok(())
    }

    /// Whatever came later, what was right once must stay so; and nobody else has appeared.
    async fn judge_settled(&mut self) -> Result<()> {
        let url = self.stack.clickhouse_url();
        for settled in &self.settled {
            let now = check::settle(&url, &settled.tenant).await?;
            if now != *settled {
                let fault = format!("{}: was {settled:?}, is {now:?}", settled.tenant);
                self.report.faults_found.push(fault);
            }
        }
        let strangers = check::strangers(&url, &self.tenants).await?;
        if strangers > 0 {
            let fault = format!("{strangers} rows belong to tenants that nobody published for");
            self.report.faults_found.push(fault);
        }
        Ok(())
    }

    fn judge_memory(&mut self, seen: &watch::Seen) {
        self.report.unasked_ends.clone_from(&seen.unasked_ends);
        for part in Part::ALL {
            let peak = seen.peak_rss_bytes.get(&part).copied().unwrap_or(0);
            let bound = watch::rss_bytes_max(part);
            let mebibytes = (peak >> 20, bound >> 20);
            self.report.peak_rss_mib.insert(part.name().to_owned(), mebibytes);
            if peak > bound {
                let (peak, bound) = mebibytes;
                let fault = format!("{} held {peak} MiB, {bound} MiB are allowed", part.name());
                self.report.faults_found.push(fault);
            }
        }
    }

    /// Damages what is stored, and sees whether the checker tells.
    async fn corrupt(&mut self) -> Result<()> {
        let url = self.stack.clickhouse_url();
        let claim = self.sample.as_mut().context("there was a round")?;
        let mut before = check::judge(&url, claim).await?;
        for corruption in Corruption::ALL {
            corruption.inflict(&url, &claim.tenant).await?;
            let after = check::judge(&url, claim).await?;
            let strangers = check::strangers(&url, &self.tenants).await?;
            let noticed = corruption.shows(&before, &after, strangers);
            let name = format!("{corruption:?}");
            if !noticed {
                let faults = after.faults.join("; ");
                let fault = format!("the checker does not notice the damage `{name}`; it says: {faults}");
                self.report.faults_found.push(fault);
            }
            self.report.corruptions_noticed.insert(name, noticed);
            before = after;
        }
        Ok(())
    }
}
