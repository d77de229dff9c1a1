//! `meridian dlq replay`: publishes the original bytes on the original topic again, at the front door.
//!
//! May be killed at any moment and run again: what was counted from a replay is known downstream by its letter
//! (`schemas::replay`). Where MQTT 3.1.1 cannot name the letter, one whose replay was cut short is left alone.

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};
use clickhouse::Row;
use ingest::{
    BrokerSettings, Protocol,
    replayer::{self, Outcome},
};
use schemas::{Replay, dead_letter::PAYLOAD_CUT_MARK};
use serde::Deserialize;

use super::{
    filter::{CONDITION, Filter},
    letter::TABLES,
    replayed::{Replayed, remember},
    show::bytes_of_hex,
};
use crate::{
    cli::CommonOptions, commands::access::Access, config::ValidConfig, endpoints::Endpoints, failure::Failure, limits,
    output, store::Store,
};

const EXAMPLES: &str = "\
Examples:
  meridian dlq replay --reason invalid_topic --since 2h --dry-run
  meridian dlq replay --tenant acme
  meridian dlq replay --topic 'old/+/+' --mqtt mqtt://127.0.0.1:1883

Each letter goes to the broker that it came from, at QoS 1. Left out are letters that were replayed before, those that \
are a replay themselves (refused again), those that no device sent, and those whose payload was cut; `--again` takes in \
the first two. An event counts once, however often its letter is replayed; over MQTT 3.1.1 that holds for events with \
`seq` or `ts` only. Exit code 1 if any letter was not acknowledged: run it again.";

/// Publish dead letters again, on their own topics
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ReplayOptions {
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    filter: Filter,
    /// Publish nothing, only say what would be published
    #[arg(long)]
    dry_run: bool,
    /// Also letters that were replayed before, or are a replay that was refused again
    #[arg(long)]
    again: bool,
    /// Publish at most this many, the oldest first
    #[arg(long, value_name = "COUNT", default_value_t = limits::REPLAY_LETTERS_MAX)]
    limit: u64,
    /// Publish at this broker of the configuration, whichever a letter came from
    #[arg(long, value_name = "NAME", conflicts_with = "mqtt")]
    to_broker: Option<String>,
    /// Publish at this address, whichever broker a letter came from
    #[arg(long, value_name = "URL")]
    mqtt: Option<String>,
    /// The version of MQTT for `--mqtt`: that in which ingest reads from there
    #[arg(long, value_enum, value_name = "VERSION", default_value = "v5", requires = "mqtt")]
    protocol: ProtocolChoice,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ProtocolChoice {
    V5,
    #[value(name = "v3.1.1")]
    V311,
}

/// A letter that fits the filter, and why it is left out, if it is.
#[derive(Debug, Row, Deserialize)]
struct Candidate {
    id: String,
    broker: String,
    first_id: String,
    is_from_device: u8,
    is_cut: u8,
    is_replay: u8,
    is_begun: u8,
    is_acknowledged: u8,
}

/// What is published of a letter.
#[derive(Debug, Row, Deserialize)]
struct Original {
    id: String,
    topic: String,
    payload_hex: String,
    replay_count: u16,
    first_received_at_ms: i64,
    first_id: String,
}

/// Totals, in the order in which they are told.
#[derive(Debug, Default)]
struct Tally {
    counts: BTreeMap<Fate, u64>,
    /// The first few things that went wrong.
    faults: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    ToReplay,
    Acknowledged,
    Failed,
    ReplayedBefore,
    IsReplay,
    Uncertain,
    NotFromDevice,
    Cut,
}

/// Publishes them.
///
/// # Errors
/// When ClickHouse or a broker cannot be used, or a letter was not acknowledged.
pub(super) async fn run(options: &ReplayOptions, common: &CommonOptions) -> Result<(), Failure> {
    let config = common.load()?;
    let store = Store::open(&config, options.access.data_dir.as_deref())?;
    let candidates = candidates(options, &store, &config).await?;
    let brokers = Destinations {
        options,
        config: &config,
    };
    let mut tally = Tally::default();
    let mut chosen: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut left = options.limit;
    for candidate in candidates {
        if let Some(fate) = options.left_out(&candidate) {
            tally.count(fate);
            continue;
        }
        let broker = brokers.of(&candidate.broker)?;
        if broker.protocol == Protocol::V311 && candidate.is_begun == 1 && !options.again {
            tally.count(Fate::Uncertain);
        } else if left > 0 {
            left -= 1;
            chosen.entry(candidate.broker).or_default().push(candidate.id);
        }
    }
    if options.dry_run {
        let count = chosen.values().map(|ids| ids.len() as u64).sum();
        tally.counts.insert(Fate::ToReplay, count);
        return tell(&tally, options.access.is_json(common));
    }
    for (broker_name, ids) in &chosen {
        let broker = brokers.of(broker_name)?;
        for ids in ids.chunks(limits::REPLAY_PAGE_LETTERS) {
            replay_page(&store, &broker, ids, &mut tally).await?;
        }
    }
    tell(&tally, options.access.is_json(common))?;
    match tally.counts.get(&Fate::Failed) {
        None => Ok(()),
        Some(count) => Err(Failure::runtime(format!(
            "{count} letters were not acknowledged: {}; run it again, nothing is counted twice",
            tally.faults.join("; ")
        ))),
    }
}

/// The letters that fit, oldest first; of those of one message only the newest.
async fn candidates(options: &ReplayOptions, store: &Store, config: &ValidConfig) -> Result<Vec<Candidate>, Failure> {
    let sql = format!(
        "SELECT id, broker, first_id, is_from_device, is_cut, is_replay, is_begun, is_acknowledged FROM (\
         SELECT letter.id AS id, letter.broker AS broker, \
         if(letter.replay_of = '', letter.id, letter.replay_of) AS first_id, \
         toUInt8(letter.stage = 'ingest') AS is_from_device, \
         toUInt8(position(letter.detail, {{cut:String}}) > 0) AS is_cut, toUInt8(letter.replay_of != '') AS is_replay, \
         toUInt8(replay.id != '') AS is_begun, replay.acknowledged AS is_acknowledged, \
         toUnixTimestamp64Milli(letter.first_received_at) AS first_ms, letter.replay_count AS replay_count \
         FROM {TABLES} WHERE {CONDITION}) ORDER BY first_ms, first_id, replay_count DESC LIMIT {}",
        limits::REPLAY_LETTERS_MAX
    );
    let query = options
        .filter
        .bind(store.query(&sql), config)
        .param("cut", PAYLOAD_CUT_MARK);
    let mut all: Vec<Candidate> = store.rows(query).await?;
    if options.again {
        all.dedup_by(|later, kept| later.first_id == kept.first_id);
    }
    Ok(all)
}

impl ReplayOptions {
    fn left_out(&self, candidate: &Candidate) -> Option<Fate> {
        let Candidate {
            is_from_device,
            is_cut,
            is_replay,
            is_acknowledged,
            ..
        } = candidate;
        if *is_from_device == 0 {
            Some(Fate::NotFromDevice)
        } else if *is_cut == 1 {
            Some(Fate::Cut)
        } else if self.again {
            None
        } else if *is_acknowledged == 1 {
            Some(Fate::ReplayedBefore)
        } else if *is_replay == 1 {
            Some(Fate::IsReplay)
        } else {
            None
        }
    }
}

/// Where letters go.
struct Destinations<'run> {
    options: &'run ReplayOptions,
    config: &'run ValidConfig,
}

impl Destinations<'_> {
    /// The broker for letters that came through the one of that name.
    fn of(&self, name: &str) -> Result<BrokerSettings, Failure> {
        let known = &self.config.ingest.brokers;
        if let Some(url) = &self.options.mqtt {
            let mut broker = BrokerSettings::new(name, url);
            broker.protocol = match self.options.protocol {
                ProtocolChoice::V5 => Protocol::V5,
                ProtocolChoice::V311 => Protocol::V311,
            };
            return Ok(broker);
        }
        let wanted = self.options.to_broker.as_deref().unwrap_or(name);
        if let Some(broker) = known.iter().find(|broker| broker.name == wanted) {
            return Ok(broker.clone());
        }
        let running = Endpoints::find(self.options.access.data_dir.as_deref())?;
        match running {
            Some(endpoints) if known.is_empty() && self.options.to_broker.is_none() => {
                Ok(BrokerSettings::new(name, &endpoints.mqtt))
            }
            _ => Err(Failure::runtime(format!(
                "no broker `{wanted}` is configured: name another one with `--to-broker`, or an address with `--mqtt`"
            ))),
        }
    }
}

/// Publishes some letters, and remembers it before and after.
async fn replay_page(store: &Store, broker: &BrokerSettings, ids: &[String], tally: &mut Tally) -> Result<(), Failure> {
    let sql = "SELECT id, topic, hex(payload) AS payload_hex, replay_count, \
        toUnixTimestamp64Milli(first_received_at) AS first_received_at_ms, if(replay_of = '', id, replay_of) AS first_id \
        FROM dead_letters WHERE id IN {ids:Array(String)} ORDER BY first_received_at_ms, first_id";
    let originals: Vec<Original> = store.rows(store.query(sql).param("ids", ids)).await?;
    let mut begun = Vec::with_capacity(originals.len());
    let mut letters = Vec::with_capacity(originals.len());
    for original in originals {
        let count = original.replay_count.saturating_add(1);
        let replay = Replay::new(&original.first_id, count, original.first_received_at_ms).ok_or_else(|| {
            Failure::runtime(format!(
                "letter `{}` has an id or a time that cannot be replayed",
                original.id
            ))
        })?;
        let replay = replay.into_owned();
        let (id, first_id) = (original.id, original.first_id);
        begun.push(Replayed::begun(id, broker.name.clone(), first_id, count));
        letters.push(replayer::Letter {
            topic: original.topic,
            payload: bytes_of_hex(&original.payload_hex),
            replay,
        });
    }
    remember(store, begun.iter().cloned()).await?;
    let client_id = format!("meridian-replay-{}", std::process::id());
    let outcomes = replayer::publish(broker, &client_id, letters)
        .await
        .map_err(Failure::runtime)?;
    let mut acknowledged = Vec::new();
    for (row, outcome) in begun.into_iter().zip(outcomes) {
        match outcome {
            Outcome::Acknowledged => {
                tally.count(Fate::Acknowledged);
                acknowledged.push(row.acknowledged());
            }
            Outcome::Refused(reason) | Outcome::Unknown(reason) => {
                tally.count(Fate::Failed);
                if tally.faults.len() < limits::REPLAY_FAULTS_TOLD && !tally.faults.contains(&reason) {
                    tally.faults.push(reason);
                }
            }
        }
    }
    match acknowledged.is_empty() {
        true => Ok(()),
        false => remember(store, acknowledged).await,
    }
}

impl Tally {
    fn count(&mut self, fate: Fate) {
        *self.counts.entry(fate).or_default() += 1;
    }
}

impl Fate {
    /// The key for programs, and the words for people.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::ToReplay => (
                "to_replay",
                "would be replayed: `meridian dlq ls` with the same filter shows them",
            ),
            Self::Acknowledged => (
                "acknowledged",
                "published again, and acknowledged; what is refused again is a dead letter again",
            ),
            Self::Failed => ("failed", "not acknowledged"),
            Self::ReplayedBefore => ("replayed_before", "left out: replayed before (`--again` takes them in)"),
            Self::IsReplay => (
                "is_replay",
                "left out: a replay that was refused again (`--again` takes them in)",
            ),
            Self::Uncertain => (
                "uncertain",
                "left out: an earlier replay over MQTT 3.1.1 was cut short, and may have been counted (`--again`)",
            ),
            Self::NotFromDevice => ("not_from_device", "left out: not published by a device"),
            Self::Cut => ("cut", "left out: the payload was cut"),
        }
    }
}

fn tell(tally: &Tally, is_json: bool) -> Result<(), Failure> {
    if is_json {
        let counts: serde_json::Map<_, _> = tally
            .counts
            .iter()
            .map(|(fate, count)| (fate.names().0.to_owned(), (*count).into()))
            .collect();
        return output::print(&format!("{}\n", serde_json::Value::Object(counts)));
    }
    if tally.counts.values().all(|count| *count == 0) {
        return output::print("no dead letter to replay\n");
    }
    let lines: String = tally
        .counts
        .iter()
        .map(|(fate, count)| format!("{count:>10}  {}\n", fate.names().1))
        .collect();
    output::print(&lines)
}
