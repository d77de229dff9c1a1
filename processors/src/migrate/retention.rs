//! How long rows are kept: a TTL on each table, changed only when the configuration did.
//!
//! Must never shorten what is kept beyond what the configuration says: without a setting there is no TTL.

use std::time::Duration;

use clickhouse::Client;
use schemas::clickhouse::Engines;

use super::{MigrateError, MigrateOptions};

/// The statements for tables whose rows expire, with the table.
pub(super) fn statements(options: &MigrateOptions) -> impl Iterator<Item = (&'static str, String)> {
    options
        .retention
        .rules()
        .into_iter()
        .filter_map(|(table, column, age)| Some((table, modify(options, table, column, age?))))
}

/// Makes the TTL of each table what the configuration says; returns the tables that were changed.
pub(super) async fn apply(client: &Client, options: &MigrateOptions) -> Result<Vec<&'static str>, MigrateError> {
    let mut changed = Vec::new();
    for (table, column, age) in options.retention.rules() {
        let definition: String = client
            .query("SELECT create_table_query FROM system.tables WHERE database = ? AND name = ?")
            .bind(&options.database)
            .bind(table)
            .fetch_one()
            .await
            .map_err(MigrateError::query("the retention of a table"))?;
        let present = seconds_in(&definition);
        let statement = match (present, age) {
            (Some(seconds), Some(age)) if seconds == age.as_secs() => continue,
            (None, None) => continue,
            (_, Some(age)) => modify(options, table, column, age),
            (Some(_), None) => alter(options, table, "REMOVE TTL"),
        };
        client
            .query_raw(&statement)
            .execute()
            .await
            .map_err(|source| MigrateError::Statement {
                name: "retention".to_owned(),
                statement,
                source,
            })?;
        changed.push(table);
    }
    Ok(changed)
}

fn modify(options: &MigrateOptions, table: &str, column: &str, age: Duration) -> String {
    alter(
        options,
        table,
        &format!("MODIFY TTL {column} + toIntervalSecond({})", age.as_secs()),
    )
}

fn alter(options: &MigrateOptions, table: &str, change: &str) -> String {
    let on_cluster = match &options.engines {
        Engines::Replicated { cluster: Some(cluster) } => format!(" ON CLUSTER {cluster}"),
        Engines::Replicated { cluster: None } | Engines::Plain => String::new(),
    };
    format!("ALTER TABLE `{}`.{table}{on_cluster} {change}", options.database)
}

/// The age in a table's definition: `... TTL bucket + toIntervalSecond(86400) SETTINGS ...`.
pub(crate) fn seconds_in(definition: &str) -> Option<u64> {
    let (_, ttl) = definition.rsplit_once(" TTL ")?;
    let (_, age) = ttl.split_once("toIntervalSecond(")?;
    age.split_once(')')?.0.parse().ok()
}
