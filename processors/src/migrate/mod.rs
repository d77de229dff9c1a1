//! Brings the ClickHouse schema up to date, and says what about a server would make results wrong.
//!
//! Safe to run again, and by several programs at once: every statement of a migration can be repeated, and what was
//! applied is remembered by version. Must never run a migration that differs from the one applied under its name.

mod error;
mod inspect;
mod retention;

use clickhouse::{Client, Row};
use schemas::{
    arrow::Table,
    clickhouse::{Engines, MIGRATIONS, Migration, Retention},
};
use serde::Deserialize;

pub use error::MigrateError;
pub use inspect::{Fault, Inspection, Warning, inspect};
pub(crate) use retention::seconds_in;

/// What to create, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrateOptions {
    /// Database, created if it does not exist.
    pub database: String,
    /// One server, or replicas.
    pub engines: Engines,
    /// How long rows are kept.
    pub retention: Retention,
}

impl Default for MigrateOptions {
    fn default() -> Self {
        Self {
            database: "meridian".to_owned(),
            engines: Engines::Plain,
            retention: Retention::default(),
        }
    }
}

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Migrations that were applied now.
    pub migrations: Vec<&'static str>,
    /// Tables whose retention was changed now.
    pub retention: Vec<&'static str>,
}

impl Applied {
    /// True when all was in place before.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.migrations.is_empty() && self.retention.is_empty()
    }
}

/// All steps from nothing to the whole schema, with the SQL of each: what `--dry-run` prints.
///
/// # Errors
/// When a name is no plain identifier.
pub fn plan(options: &MigrateOptions) -> Result<Vec<(String, String)>, MigrateError> {
    let mut steps = Vec::new();
    for migration in MIGRATIONS {
        let statements = migration.statements(&options.database, &options.engines)?;
        steps.push((migration.name.to_owned(), format!("{};\n", statements.join(";\n\n"))));
    }
    let retention: String = retention::statements(options)
        .map(|(_, statement)| format!("{statement};\n"))
        .collect();
    if !retention.is_empty() {
        steps.push(("retention".to_owned(), retention));
    }
    Ok(steps)
}

/// Brings the schema up to date.
///
/// # Errors
/// [`MigrateError`]. What was done before the error stays; the next run goes on from there.
pub async fn migrate(client: &Client, options: &MigrateOptions) -> Result<Applied, MigrateError> {
    let client = &administrative(client);
    let known = applied_before(client, options).await?;
    check_applied(&options.database, &known)?;
    let mut applied = Applied::default();
    for migration in MIGRATIONS {
        if !known.iter().any(|record| record.version == migration.version) {
            apply(client, options, migration).await?;
            applied.migrations.push(migration.name);
        }
    }
    applied.retention = retention::apply(client, options).await?;
    Ok(applied)
}

/// What tells these tables from all others, wherever they are: ClickHouse gives the table of measurements an id when it is
/// created, the same on all replicas. None where there is no table, or the database is of a kind without ids.
///
/// # Errors
/// [`MigrateError::Query`].
pub async fn tables_id(client: &Client, database: &str) -> Result<Option<String>, MigrateError> {
    let found: Vec<String> = administrative(client)
        .query("SELECT toString(uuid) FROM system.tables WHERE database = ? AND name = ? AND uuid != toUUID(?)")
        .bind(database)
        .bind(Table::Measurements.name())
        .bind("00000000-0000-0000-0000-000000000000")
        .fetch_all()
        .await
        .map_err(MigrateError::query("the id of its tables"))?;
    Ok(found.into_iter().next())
}

/// The client, for statements on a database that may not exist yet.
fn administrative(client: &Client) -> Client {
    client.clone().with_database("system").with_setting("async_insert", "0")
}

/// A row of `schema_migrations`.
#[derive(Debug, Deserialize, Row)]
struct AppliedMigration {
    version: u32,
    name: String,
    checksum: String,
}

async fn applied_before(client: &Client, options: &MigrateOptions) -> Result<Vec<AppliedMigration>, MigrateError> {
    let exists: u64 = client
        .query("SELECT count() FROM system.tables WHERE database = ? AND name = 'schema_migrations'")
        .bind(&options.database)
        .fetch_one()
        .await
        .map_err(MigrateError::query("the list of its tables"))?;
    if exists == 0 {
        return Ok(Vec::new());
    }
    let database = &options.database;
    let sql = format!("SELECT version, name, checksum FROM `{database}`.schema_migrations FINAL ORDER BY version");
    client
        .query_raw(&sql)
        .fetch_all()
        .await
        .map_err(MigrateError::query("the migrations applied before"))
}

/// Refuses a database that was made by another history than ours.
fn check_applied(database: &str, applied: &[AppliedMigration]) -> Result<(), MigrateError> {
    for record in applied {
        let Some(known) = MIGRATIONS.iter().find(|known| known.version == record.version) else {
            return Err(MigrateError::TooNew {
                database: database.to_owned(),
                version: record.version,
                name: record.name.clone(),
            });
        };
        if known.checksum() != record.checksum {
            return Err(MigrateError::ChecksumChanged {
                database: database.to_owned(),
                name: record.name.clone(),
                applied: record.checksum.clone(),
                known: known.checksum(),
            });
        }
    }
    Ok(())
}

async fn apply(client: &Client, options: &MigrateOptions, migration: Migration) -> Result<(), MigrateError> {
    let failed = |statement: String| {
        move |source| MigrateError::Statement {
            name: migration.name.to_owned(),
            statement,
            source,
        }
    };
    for statement in migration.statements(&options.database, &options.engines)? {
        client
            .query_raw(&statement)
            .execute()
            .await
            .map_err(failed(statement))?;
    }
    let (database, version, name) = (&options.database, migration.version, migration.name);
    let checksum = migration.checksum();
    let record = format!(
        "INSERT INTO `{database}`.schema_migrations (version, name, checksum) VALUES ({version}, '{name}', '{checksum}')"
    );
    client.query_raw(&record).execute().await.map_err(failed(record))
}

#[cfg(test)]
mod tests;
