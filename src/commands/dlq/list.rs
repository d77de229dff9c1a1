//! `meridian dlq ls`: which messages were refused, or how many for which reason.

use std::fmt::Write;

use clap::Args;
use clickhouse::Row;
use serde::Deserialize;

use super::{
    filter::{CONDITION, Filter},
    letter::{Letter, TABLES},
};
use crate::{cli::CommonOptions, commands::access::Access, failure::Failure, output, store::Store, when};

const EXAMPLES: &str = "\
Examples:
  meridian dlq ls --since 1h
  meridian dlq ls --tenant acme --reason invalid_json --limit 20 --format json
  meridian dlq ls --count

States: waiting (never published again), replayed (and acknowledged by the broker), uncertain (a replay was cut short). \
With `--format json` each line is one letter, or one count.";

/// List dead letters, newest first
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ListOptions {
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    filter: Filter,
    /// How many for each stage, reason and state, instead of the letters
    #[arg(long)]
    count: bool,
    /// Show at most this many letters
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    limit: u64,
}

/// A line of `--count`.
#[derive(Debug, Row, Deserialize)]
struct Count {
    stage: String,
    reason: String,
    letters: u64,
    replayed: u64,
    newest_ms: i64,
}

/// Prints them.
///
/// # Errors
/// When ClickHouse cannot be asked.
pub(super) async fn run(options: &ListOptions, common: &CommonOptions) -> Result<(), Failure> {
    let config = common.load()?;
    let store = Store::open(&config, options.access.data_dir.as_deref())?;
    let is_json = options.access.is_json(common);
    let bind = |query| options.filter.bind(query, &config);
    if options.count {
        let sql = format!(
            "SELECT letter.stage AS stage, letter.reason AS reason, count() AS letters, \
             countIf(replay.acknowledged = 1) AS replayed, max(toUnixTimestamp64Milli(letter.received_at)) AS newest_ms \
             FROM {TABLES} WHERE {CONDITION} GROUP BY stage, reason ORDER BY letters DESC, stage, reason"
        );
        let counts: Vec<Count> = store.rows(bind(store.query(&sql))).await?;
        return output::print(&match is_json {
            true => counts.iter().map(|count| format!("{}\n", count.to_json())).collect(),
            false => show_counts(&counts),
        });
    }
    let letters = Letter::newest(&store, bind, options.limit).await?;
    output::print(&match is_json {
        true => letters.iter().map(|letter| format!("{}\n", letter.to_json())).collect(),
        false => show_letters(&letters, options.limit),
    })
}

impl Count {
    fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "stage": self.stage,
            "reason": self.reason,
            "letters": self.letters,
            "replayed": self.replayed,
            "newest": when::show(self.newest_ms),
        })
    }
}

fn show_counts(counts: &[Count]) -> String {
    if counts.is_empty() {
        return "no dead letters\n".to_owned();
    }
    let mut text = format!(
        "{:>10}  {:>10}  {:<8}  {:<24}  newest\n",
        "letters", "replayed", "stage", "reason"
    );
    for count in counts {
        let Count {
            stage,
            reason,
            letters,
            replayed,
            newest_ms,
        } = count;
        let newest = when::show(*newest_ms);
        writeln!(
            text,
            "{letters:>10}  {replayed:>10}  {stage:<8}  {reason:<24}  {newest}"
        )
        .expect("writing to memory");
    }
    text
}

fn show_letters(letters: &[Letter], limit: u64) -> String {
    if letters.is_empty() {
        return "no dead letters\n".to_owned();
    }
    let longest = |of: fn(&Letter) -> &str| letters.iter().map(|letter| of(letter).len()).max().unwrap_or(0);
    let (width, reason_width) = (longest(|letter| &letter.id), longest(|letter| &letter.reason));
    let mut text = format!(
        "{:<24}  {:<width$}  {:<9}  {:<reason_width$}  topic, and what is wrong\n",
        "received", "id", "state", "reason"
    );
    for letter in letters {
        let received = when::show(letter.received_at_ms);
        // Topics and details hold what devices sent: nothing of it may reach the terminal as a command.
        let (topic, detail) = (output::printable(&letter.topic), output::printable(&letter.detail));
        let (id, state, reason) = (&letter.id, letter.state(), &letter.reason);
        write!(
            text,
            "{received}  {id:width$}  {state:<9}  {reason:<reason_width$}  {topic}  {detail}"
        )
        .expect("writing to memory");
        if !letter.replay_of.is_empty() {
            write!(text, "  (replay {} of {})", letter.replay_count, letter.replay_of).expect("writing to memory");
        }
        text.push('\n');
    }
    if letters.len() as u64 == limit {
        writeln!(text, "(the newest {limit}; more with `--limit`, totals with `--count`)").expect("writing to memory");
    }
    text
}
