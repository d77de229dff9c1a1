//! The ClickHouse schema as text: migrations in order, and how their placeholders are filled.
//!
//! Pure: nothing here talks to a server (`processors::migrate` does). A migration that was released is never edited: a
//! later change is a new file, and a golden test holds the checksums.

mod template;

use std::time::Duration;

pub use template::{RenderError, render};

/// Definitions that merge quantile sketches and distinct counts in SQL: to be put after `WITH`. The head of the file
/// says how to use them.
pub const MERGE_SQL: &str = include_str!("../../clickhouse/merge.sql");

/// One step of the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migration {
    /// Number in the file name; rising without gaps.
    pub version: u32,
    /// File name without extension.
    pub name: &'static str,
    /// The file, placeholders unfilled.
    template: &'static str,
}

/// All migrations in order.
pub const MIGRATIONS: [Migration; 10] = [
    Migration {
        version: 1,
        name: "0001_schema_migrations",
        template: include_str!("../../clickhouse/0001_schema_migrations.sql"),
    },
    Migration {
        version: 2,
        name: "0002_measurements",
        template: include_str!("../../clickhouse/0002_measurements.sql"),
    },
    Migration {
        version: 3,
        name: "0003_rollups",
        template: include_str!("../../clickhouse/0003_rollups.sql"),
    },
    Migration {
        version: 4,
        name: "0004_devices",
        template: include_str!("../../clickhouse/0004_devices.sql"),
    },
    Migration {
        version: 5,
        name: "0005_dead_letters",
        template: include_str!("../../clickhouse/0005_dead_letters.sql"),
    },
    Migration {
        version: 6,
        name: "0006_replays",
        template: include_str!("../../clickhouse/0006_replays.sql"),
    },
    Migration {
        version: 7,
        name: "0007_device_clocks",
        template: include_str!("../../clickhouse/0007_device_clocks.sql"),
    },
    Migration {
        version: 8,
        name: "0008_ledger",
        template: include_str!("../../clickhouse/0008_ledger.sql"),
    },
    Migration {
        version: 9,
        name: "0009_dashboards",
        template: include_str!("../../clickhouse/0009_dashboards.sql"),
    },
    Migration {
        version: 10,
        name: "0010_api_keys",
        template: include_str!("../../clickhouse/0010_api_keys.sql"),
    },
];

/// Where the tables live.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Engines {
    /// One server.
    #[default]
    Plain,
    /// Replicas that share the tables through Keeper. The server must define the macros `shard` and `replica`.
    Replicated {
        /// Run the DDL on all servers of this cluster; none: on this server alone.
        cluster: Option<String>,
    },
}

impl Migration {
    /// Fingerprint of everything the migration says, placeholders unfilled: the same for every database.
    #[must_use]
    pub fn checksum(&self) -> String {
        let mut hash = Fnv::new();
        hash.add(self.template.as_bytes());
        if self.template.contains("{merge}") {
            hash.add(MERGE_SQL.as_bytes());
        }
        format!("{:016x}", hash.0)
    }

    /// The statements, ready to run, in order.
    ///
    /// # Errors
    /// When the names in the target are no plain identifiers.
    pub fn statements(&self, database: &str, engines: &Engines) -> Result<Vec<String>, RenderError> {
        render(self.template, database, engines).map(|sql| split_statements(&sql))
    }
}

/// Statements end with a semicolon at the end of a line. What only comments is no statement.
fn split_statements(sql: &str) -> Vec<String> {
    let has_code = |text: &&str| text.lines().any(|line| !line.is_empty() && !line.starts_with("--"));
    sql.split(";\n")
        .map(str::trim)
        .filter(has_code)
        .map(str::to_owned)
        .collect()
}

/// FNV-1a, 64 bits: enough to notice an edit, and stable for all time.
struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// How long rows are kept; none: for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Of measurements, by `ts`.
    pub measurements: Option<Duration>,
    /// Of rollups, by `bucket`.
    pub rollups: Option<Duration>,
    /// Of dead letters, by `received_at`.
    pub dead_letters: Option<Duration>,
}

impl Retention {
    /// Tables that can expire, with the time column (as SQL of type `DateTime`) and the age, where one is set.
    #[must_use]
    pub fn rules(&self) -> [(&'static str, &'static str, Option<Duration>); 3] {
        [
            ("measurement_log", "toDateTime(ts)", self.measurements),
            ("rollup_log", "bucket", self.rollups),
            ("dead_letter_log", "toDateTime(received_at)", self.dead_letters),
        ]
    }
}

#[cfg(test)]
mod tests;
