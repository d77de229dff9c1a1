//! Filling the placeholders of a migration in one pass: what is filled in is not looked at again.

use std::fmt::Write;

use super::{Engines, MERGE_SQL};

/// Settings of every table that the pipeline writes.
///
/// - No deduplication log: rows are idempotent by key, and the log of plain tables loses acknowledged rows when the
///   server is killed.
/// - Parts are on the disk, not only in its cache, before an insert is answered: the checkpoint that follows is, too,
///   and a power cut must not separate them.
/// - Expired parts are dropped whole, which partitions by month make cheap: a row can outlive its age by a month.
/// - A partition that gets no more rows is merged into one part, so that FINAL has nothing left to do there.
const LOG_SETTINGS: &str = "non_replicated_deduplication_window = 0, fsync_after_insert = 1, \
    fsync_part_directory = 1, ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 600, \
    min_age_to_force_merge_on_partition_only = 1";

/// A name cannot be put into SQL, or a file names a placeholder that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// See the message.
    #[error("`{0}` is not a usable name: use letters, digits and underscores, and begin with a letter or underscore")]
    Name(String),
    /// A fault of ours.
    #[error("migration has an unknown placeholder `{{{0}}}`")]
    Placeholder(String),
}

/// Parameters that charts are asked with: they stay as they are.
const CHART_PARAMETERS: [&str; 2] = ["rounding:UInt32", "seconds:UInt32"];

/// Fills `{database}`, `{on_cluster}`, `{engine_replacing TABLE [VERSION COLUMN]}`, `{log_settings}` and `{merge}`.
///
/// # Errors
/// [`RenderError`].
pub fn render(template: &str, database: &str, engines: &Engines) -> Result<String, RenderError> {
    check_name(database)?;
    if let Engines::Replicated { cluster: Some(cluster) } = engines {
        check_name(cluster)?;
    }
    let mut sql = String::with_capacity(template.len() * 2);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (placeholder, after) = after
            .split_once('}')
            .ok_or_else(|| RenderError::Placeholder(after.to_owned()))?;
        sql.push_str(before);
        fill(&mut sql, placeholder, database, engines)?;
        rest = after;
    }
    sql.push_str(rest);
    Ok(sql)
}

fn fill(sql: &mut String, placeholder: &str, database: &str, engines: &Engines) -> Result<(), RenderError> {
    let words: Vec<&str> = placeholder.split(' ').collect();
    match (words.as_slice(), engines) {
        ([parameter], _) if CHART_PARAMETERS.contains(parameter) => {
            let _ = write!(sql, "{{{parameter}}}");
        }
        (["database"], _) => sql.push_str(database),
        (["log_settings"], _) => sql.push_str(LOG_SETTINGS),
        (["merge"], _) => sql.push_str(MERGE_SQL.trim_end()),
        (["on_cluster"], Engines::Replicated { cluster: Some(cluster) }) => {
            let _ = write!(sql, " ON CLUSTER {cluster}");
        }
        (["on_cluster"], _) => {}
        (["engine_replacing", _], Engines::Plain) => sql.push_str("ReplacingMergeTree"),
        (["engine_replacing", _, version], Engines::Plain) => {
            let _ = write!(sql, "ReplacingMergeTree({version})");
        }
        (["engine_replacing", table, version @ ..], Engines::Replicated { .. }) => {
            let _ = write!(
                sql,
                "ReplicatedReplacingMergeTree('/clickhouse/tables/{{shard}}/{database}/{table}', '{{replica}}'"
            );
            for column in version {
                let _ = write!(sql, ", {column}");
            }
            sql.push(')');
        }
        _ => return Err(RenderError::Placeholder(placeholder.to_owned())),
    }
    Ok(())
}

/// Names go into SQL unquoted, so they must be plain.
fn check_name(name: &str) -> Result<(), RenderError> {
    let starts_well = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    let is_plain = name
        .chars()
        .all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    if starts_well && is_plain {
        Ok(())
    } else {
        Err(RenderError::Name(name.to_owned()))
    }
}
