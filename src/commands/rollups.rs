//! `meridian rollups rebuild`: makes rollups what the measurements say, while the pipeline runs.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use processors::{
    audit::{self, AuditStore},
    checkpoint::CheckpointStore,
    rebuild::{RebuildOptions, Rebuilt, rebuild},
    sink::ClickHouseSink,
};

use super::{
    access::Format,
    audit::{bucket_range, more},
};
use crate::{
    cli::CommonOptions,
    data_dir::{DATA_DIR_DEFAULT, checkpoints_url},
    failure::Failure,
    limits, output,
    store::clickhouse_url,
    when,
};

const EXAMPLES: &str = "\
Examples:
  meridian rollups rebuild --from 2026-01-01T00:00:00Z --to 2026-01-02T00:00:00Z --dry-run
  meridian rollups rebuild --from 2h --to 1h --config meridian.toml";

const REBUILD_EXAMPLES: &str = "\
Examples:
  meridian rollups rebuild --from 2026-01-01T00:00:00Z --to 2026-01-02T00:00:00Z --dry-run
  meridian rollups rebuild --from 2h --to 1h --config meridian.toml

Takes the measurements as the truth: look for holes in them with `meridian audit` first. What the processors have done \
since their newest checkpoints is left to them. Also fills in a rollup level that was added later.";

/// Work on the rollups
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RollupsOptions {
    #[command(subcommand)]
    command: RollupsCommand,
}

#[derive(Debug, Subcommand)]
enum RollupsCommand {
    Rebuild(RebuildArguments),
}

/// Make the rollups of a range of time again from the measurements
#[derive(Debug, Args)]
#[command(after_help = REBUILD_EXAMPLES)]
struct RebuildArguments {
    /// Buckets from this time on: RFC 3339, Unix milliseconds, or as `2h` how long ago
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    from: i64,
    /// Buckets that begin before this time
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    to: i64,
    /// Print what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Also when measurements are missing or changed: the rollups then agree with what is left of them
    #[arg(long)]
    accept_holes: bool,
    /// How the answer looks
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Data folder of the `meridian up` to work on, where the configuration names no services [default: ./meridian-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// Makes rollups again.
///
/// # Errors
/// When ClickHouse or the checkpoints cannot be used.
pub(crate) async fn run(options: &RollupsOptions, common: &CommonOptions) -> Result<(), Failure> {
    let RollupsCommand::Rebuild(arguments) = &options.command;
    let range = bucket_range(arguments.from, arguments.to)?;
    let config = common.load()?;
    let data_dir = arguments.data_dir.as_deref();
    let url = clickhouse_url(&config, data_dir)?;
    let settings = &config.clickhouse;
    let store = AuditStore::new(settings.client(&url), &settings.migrate.database);
    let refused = match arguments.accept_holes {
        true => None,
        false => refusal(&store).await?,
    };
    let refused = match refused {
        Some(refusal) if !arguments.dry_run => return Err(refusal),
        refused => refused,
    };
    let sink = ClickHouseSink::new(settings.sink(&url));
    let checkpoints = config
        .checkpoints_url
        .clone()
        .unwrap_or_else(|| checkpoints_url(data_dir.unwrap_or(Path::new(DATA_DIR_DEFAULT))));
    let checkpoints = CheckpointStore::open(&checkpoints).map_err(Failure::usage)?;
    let options = RebuildOptions {
        from_seconds: range.start,
        to_seconds: range.end,
        dry_run: arguments.dry_run,
    };
    let is_text = arguments.format == Format::Text;
    let (mut shown, mut said) = (0, Ok(()));
    let rebuilt = rebuild(&store, &checkpoints, &sink, options, |change| {
        shown += 1;
        if is_text && said.is_ok() && shown <= limits::CHANGES_SHOWN_MAX {
            said = output::print(&format!("{change}\n"));
        }
    });
    let rebuilt = rebuilt.await.map_err(Failure::runtime)?;
    said?;
    if is_text {
        output::print(&summary(&rebuilt, shown, arguments.dry_run))?;
    } else {
        let json = serde_json::to_string(&rebuilt).expect("plain data is always JSON");
        output::print(&format!("{json}\n"))?;
    }
    // A dry run ends as the run itself would.
    refused.map_or(Ok(()), Err)
}

/// Measurements that are not what the tasks made must not be taken as the truth.
async fn refusal(store: &AuditStore) -> Result<Option<Failure>, Failure> {
    let holes = audit::measurement_holes(store).await.map_err(Failure::runtime)?;
    Ok(holes.split_first().map(|(hole, rest)| {
        Failure::runtime(format!(
            "the measurements themselves do not add up, and the rollups may be all that is right: {hole}{}. Bring them \
             back first, or say `--accept-holes`",
            more(rest.len())
        ))
    }))
}

fn summary(rebuilt: &Rebuilt, change_count: u64, dry_run: bool) -> String {
    let more = change_count.saturating_sub(limits::CHANGES_SHOWN_MAX);
    let mut text = if more > 0 {
        format!("and {more} more\n")
    } else {
        String::new()
    };
    for level in &rebuilt.levels {
        text.push_str(&format!(
            "period {}, res {}: {} as they should be, {} corrected, {} created, {} withdrawn\n",
            level.period, level.resolution, level.unchanged, level.corrected, level.created, level.withdrawn
        ));
    }
    for level in rebuilt.levels.iter().filter(|level| !level.waiting.is_empty()) {
        text.push_str(&format!(
            "note: period {}, res {} is not in force in partitions {:?} yet: run this again after their next checkpoints\n",
            level.period, level.resolution, level.waiting
        ));
    }
    if !rebuilt.skipped.is_empty() {
        text.push_str(&format!(
            "note: partitions {:?} were left out: without a checkpoint nobody knows what their tasks hold\n",
            rebuilt.skipped
        ));
    }
    text.push_str(match (rebuilt.changed_count(), dry_run) {
        (0, _) => "nothing to change\n",
        (_, true) => "nothing was changed: --dry-run\n",
        (_, false) => "done\n",
    });
    text
}
