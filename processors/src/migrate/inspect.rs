//! What about a server would make results wrong: asked before the first row is written.
//!
//! Must never change anything, and reports everything it finds at once.

use clickhouse::{Client, Row};
use schemas::arrow::Table;
use serde::Deserialize;

use super::{MigrateError, administrative};
use crate::sink::INSERT_SETTINGS;

/// The oldest release with everything that views and inserts rely on, tested here.
const VERSION_MIN: (u32, u32) = (25, 8);

/// Something that would make results wrong or writing impossible.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// See the message.
    #[error("ClickHouse {version} is too old: use 25.8 or newer")]
    VersionTooOld {
        /// Of the server.
        version: String,
    },
    /// See the message.
    #[error("table or view `{name}` does not exist: run `meridian migrate`")]
    Missing {
        /// Which one.
        name: &'static str,
    },
    /// See the message.
    #[error(
        "table `{table}` has {property} `{found}` where `{expected}` is needed for exact results: \
         it was not created by `meridian migrate`; use another database, or rename the table and migrate again"
    )]
    Table {
        /// Which one.
        table: &'static str,
        /// What about it.
        property: &'static str,
        /// As it is.
        found: String,
        /// As it must be.
        expected: String,
    },
    /// See the message.
    #[error("column `{column}` is missing in table `{table}`: run `meridian migrate`")]
    Column {
        /// Which table.
        table: &'static str,
        /// Which column.
        column: String,
    },
    /// See the message.
    #[error("the ClickHouse user may not set `{setting}`, which every insert does: allow it in the user's profile")]
    Setting {
        /// Which one.
        setting: &'static str,
    },
}

/// Something that does no harm to what Meridian does itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// See the message.
    #[error(
        "ClickHouse {version} may crash on deduplicated inserts into tables with materialized views: \
         attach none to our tables, or upgrade to {fixed}"
    )]
    KnownBadVersion {
        /// Of the server.
        version: String,
        /// The first release without the fault.
        fixed: &'static str,
    },
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    /// Do not start with any of these.
    pub faults: Vec<Fault>,
    /// Worth a line in the log.
    pub warnings: Vec<Warning>,
}

/// Asks the server for its version, tables and settings.
///
/// # Errors
/// When it does not answer. What it answers is in the result.
pub async fn inspect(client: &Client, database: &str) -> Result<Inspection, MigrateError> {
    let client = &administrative(client);
    let mut found = Inspection::default();
    let version: String = client
        .query_raw("SELECT version()")
        .fetch_one()
        .await
        .map_err(MigrateError::query("its version"))?;
    check_version(&version, &mut found);
    check_tables(client, database, &mut found).await?;
    check_settings(client, &mut found).await?;
    Ok(found)
}

pub(super) fn check_version(version: &str, found: &mut Inspection) {
    let numbers: Vec<u32> = version.split('.').map_while(|part| part.parse().ok()).collect();
    let number = |index: usize| numbers.get(index).copied().unwrap_or(0);
    if (number(0), number(1)) < VERSION_MIN {
        found.faults.push(Fault::VersionTooOld {
            version: version.to_owned(),
        });
    }
    let fixed = match (number(0), number(1)) {
        (26, 5) => Some(((7, 20), "26.5.7.20")),
        (26, 6) => Some(((3, 19), "26.6.3.19")),
        (26, 7) => Some(((3, 9), "26.7.3.9")),
        _ => None,
    };
    if let Some((release, fixed)) = fixed
        && (number(2), number(3)) < release
    {
        found.warnings.push(Warning::KnownBadVersion {
            version: version.to_owned(),
            fixed,
        });
    }
}

/// What a table must be for its rows to be exact.
struct Expected {
    sorting_key: &'static str,
    partition_key: &'static str,
    version_column: Option<&'static str>,
}

fn expected(table: Table) -> Expected {
    let (sorting_key, partition_key, version_column) = match table {
        Table::Measurements => ("tenant, metric, device, ts, partition, offset", "toYYYYMM(ts)", None),
        Table::Rollups => (
            "tenant, metric, period, res, bucket, cell, partition, generation",
            "toYYYYMM(bucket)",
            Some("version"),
        ),
        Table::Devices => ("tenant, device, partition", "", Some("version")),
        Table::DeadLetters => ("id", "toYYYYMM(received_at)", None),
        Table::Ledger => ("topic, partition, chunk", "", Some("version")),
    };
    Expected {
        sorting_key,
        partition_key,
        version_column,
    }
}

/// A row of `system.tables`.
#[derive(Debug, Deserialize, Row)]
struct TableState {
    name: String,
    engine: String,
    engine_full: String,
    sorting_key: String,
    partition_key: String,
    columns: Vec<String>,
}

async fn check_tables(client: &Client, database: &str, found: &mut Inspection) -> Result<(), MigrateError> {
    let tables: Vec<TableState> = client
        .query(
            "SELECT name, engine, engine_full, sorting_key, partition_key, columns FROM system.tables AS tables \
            LEFT JOIN (SELECT table, groupArray(name) AS columns FROM system.columns WHERE database = ? GROUP BY table) \
            AS columns ON columns.table = tables.name WHERE tables.database = ?",
        )
        .bind(database)
        .bind(database)
        .fetch_all()
        .await
        .map_err(MigrateError::query("its tables"))?;
    let find = |name: &str| tables.iter().find(|state| state.name == name);
    for table in Table::ALL {
        match find(table.name()) {
            Some(state) => check_table(table, state, found),
            None => found.faults.push(Fault::Missing { name: table.name() }),
        }
    }
    for name in [
        "measurements",
        "rollups",
        "devices",
        "device_clocks",
        "dead_letters",
        "dead_letter_replay_log",
        "dead_letter_replays",
        "ledger",
        "dashboards",
        "api_key_log",
        "schema_migrations",
    ] {
        if find(name).is_none() {
            found.faults.push(Fault::Missing { name });
        }
    }
    Ok(())
}

fn check_table(table: Table, state: &TableState, found: &mut Inspection) {
    let mut expect = |property, is: &str, must: &str, fits: bool| {
        if !fits {
            found.faults.push(Fault::Table {
                table: table.name(),
                property,
                found: is.to_owned(),
                expected: must.to_owned(),
            });
        }
    };
    let Expected {
        sorting_key,
        partition_key,
        version_column,
    } = expected(table);
    expect(
        "sorting key",
        &state.sorting_key,
        sorting_key,
        state.sorting_key == sorting_key,
    );
    expect(
        "partition key",
        &state.partition_key,
        partition_key,
        state.partition_key == partition_key,
    );
    expect(
        "engine",
        &state.engine,
        "ReplacingMergeTree",
        state.engine.ends_with("ReplacingMergeTree"),
    );
    let version = version_of(&state.engine_full);
    expect(
        "version column",
        version.unwrap_or(""),
        version_column.unwrap_or(""),
        version == version_column,
    );
    for field in table.schema().fields() {
        if !state.columns.contains(field.name()) {
            found.faults.push(Fault::Column {
                table: table.name(),
                column: field.name().clone(),
            });
        }
    }
}

/// The version column in an engine's definition: the last argument, where it is no text.
pub(super) fn version_of(engine_full: &str) -> Option<&str> {
    let (head, _) = engine_full
        .split_once(" PARTITION BY ")
        .or_else(|| engine_full.split_once(" ORDER BY "))?;
    let arguments = head.split_once('(')?.1.strip_suffix(')')?;
    let last = arguments.rsplit(", ").next()?;
    (!last.is_empty() && !last.starts_with('\'')).then_some(last)
}

async fn check_settings(client: &Client, found: &mut Inspection) -> Result<(), MigrateError> {
    let settable: Vec<String> = client
        .query("SELECT name FROM system.settings WHERE readonly = 0 AND name IN ?")
        .bind(INSERT_SETTINGS.map(|(name, _)| name).as_slice())
        .fetch_all()
        .await
        .map_err(MigrateError::query("its settings"))?;
    for (setting, _) in INSERT_SETTINGS {
        if !settable.iter().any(|name| name == setting) {
            found.faults.push(Fault::Setting { setting });
        }
    }
    Ok(())
}
