//! Rows into ClickHouse: one INSERT for each table and flush, the same bytes again until they are in.
//!
//! Every row is idempotent by its key, so an INSERT whose outcome is unknown is simply repeated. The whole body exists
//! before the request opens, so the server never waits for us in the middle of one. Must never drop rows: an INSERT
//! ends in success, or in an error that trying again cannot cure. A row that is refused on its own becomes a dead letter.

pub mod cells;
pub mod error;
pub mod limits;
mod refusal;

use arrow::error::ArrowError;
use bytes::Bytes;
use clickhouse::{Client, Compression};
use platform::{
    retry::{Backoff, RetryEnd, retry_forever},
    shutdown::{Shutdown, ShutdownTrigger},
};
use rand::SeedableRng;
use schemas::{
    arrow::{EncodedTable, EncodedTables, Table, TableBatches, encode_tables},
    rows::Rows,
};

pub use cells::CellSink;
pub use error::SinkError;

use crate::{audit::AuditStore, recovery::Recovery, runner::RowSink};

/// Sent with every INSERT: what a profile of the server says must not matter.
///
/// - `async_insert`: the answer must mean that the rows are in the table.
/// - `insert_deduplicate`: rows are idempotent by key; a deduplication log can only lose them.
/// - `optimize_on_insert`: merging within a block before it is written costs three times the insert.
/// - `max_insert_threads`: one part for each partition, not one for each thread.
/// - `max_partitions_per_insert_block`: late events may be of any day; to refuse them would lose them.
/// - `max_execution_time`: an INSERT that is cut short is sent again, and would be cut short again.
pub const INSERT_SETTINGS: [(&str, &str); 6] = [
    ("async_insert", "0"),
    ("insert_deduplicate", "0"),
    ("optimize_on_insert", "0"),
    ("max_insert_threads", "1"),
    ("max_partitions_per_insert_block", "0"),
    ("max_execution_time", "0"),
];

/// How rows reach ClickHouse.
#[derive(Clone, Debug)]
pub struct SinkSettings {
    /// URL, user and password are set.
    pub client: Client,
    /// Database of the tables.
    pub database: String,
    /// Compress bodies: pays over a network, not within a machine.
    pub compress: bool,
    /// More settings for every INSERT, as `insert_quorum` for replicated tables.
    pub settings: Vec<(String, String)>,
    /// Pauses between tries.
    pub backoff: Backoff,
}

impl SinkSettings {
    /// The usual settings for a client whose URL, user and password are set.
    #[must_use]
    pub fn new(client: Client, database: impl Into<String>) -> Self {
        Self {
            client,
            database: database.into(),
            compress: false,
            settings: Vec::new(),
            backoff: Backoff::for_services(),
        }
    }
}

/// Writes the tables of the pipeline.
#[derive(Debug)]
pub struct ClickHouseSink {
    client: Client,
    database: String,
    backoff: Backoff,
    /// Never requested: who wants an insert to end drops its future.
    never: (ShutdownTrigger, Shutdown),
}

impl ClickHouseSink {
    /// A sink; nothing is sent yet.
    #[must_use]
    pub fn new(settings: SinkSettings) -> Self {
        // Set even where it is the default of the library: its default follows from cargo features.
        let compression = if settings.compress {
            Compression::Lz4
        } else {
            Compression::None
        };
        let mut client = settings.client.with_compression(compression);
        for (name, value) in INSERT_SETTINGS {
            client = client.with_setting(name, value);
        }
        for (name, value) in settings.settings {
            client = client.with_setting(name, value);
        }
        Self {
            client,
            database: settings.database,
            backoff: settings.backoff,
            never: Shutdown::new(),
        }
    }

    /// Inserts all tables, side by side, then the ledger that says what is in them, and returns when the server has all
    /// rows. Outages are waited out without end; dropping the future gives up, and the rows may then be in the tables or
    /// not.
    ///
    /// # Errors
    /// Only what trying again cannot cure. Other tables may have been written.
    pub async fn insert_tables(&self, tables: EncodedTables) -> Result<(), SinkError> {
        let (ledger, tables): (Vec<_>, Vec<_>) = tables.into_iter().partition(|table| table.table == Table::Ledger);
        for side_by_side in [tables, ledger] {
            let inserts = side_by_side.into_iter().map(|table| self.insert_table(table));
            futures::future::try_join_all(inserts).await?;
        }
        Ok(())
    }

    /// The same server, to be asked.
    pub(crate) fn store(&self) -> AuditStore {
        AuditStore::new(self.client.clone(), &self.database)
    }

    pub(crate) async fn insert_table(&self, encoded: EncodedTable) -> Result<(), SinkError> {
        let insert = Insert::new(self.client.clone(), &self.database, encoded);
        let what = format!("insert into `{}`", insert.table.name());
        let mut delays = self.backoff.delays(rand::rngs::SmallRng::from_rng(&mut rand::rng()));
        let done = retry_forever(&what, &self.never.1, &mut delays, async move || insert.attempt().await).await;
        match done {
            Ok(()) => Ok(()),
            Err(RetryEnd::Refused(error)) => Err(error),
            Err(RetryEnd::Shutdown(_)) => unreachable!("the trigger of this shutdown is never used"),
        }
    }
}

impl RowSink for ClickHouseSink {
    type Encoded = Result<TableBatches, ArrowError>;
    type Error = SinkError;

    fn encode(&self, rows: Rows) -> Self::Encoded {
        TableBatches::from_rows(rows)
    }

    fn recovery(&self) -> Option<&dyn Recovery> {
        Some(self)
    }

    async fn insert(&self, batches: Vec<Self::Encoded>) -> Result<(), SinkError> {
        let shares = batches.into_iter().collect::<Result<Vec<_>, _>>()?;
        let tables = encode_tables(&shares)?;
        match self.insert_tables(tables.clone()).await {
            Err(error) if refusal::may_be_of_one_row(&error) => {
                let letters = refusal::sort_out(self, &shares, error).await?;
                let others = tables
                    .into_iter()
                    .filter(|encoded| encoded.table != Table::Measurements);
                self.insert_tables(others.chain(letters).collect()).await
            }
            done => done,
        }
    }
}

/// An INSERT, ready to be sent any number of times.
struct Insert {
    client: Client,
    table: Table,
    statement: String,
    pieces: Vec<Bytes>,
}

impl Insert {
    fn new(client: Client, database: &str, encoded: EncodedTable) -> Self {
        let EncodedTable { table, mut body, .. } = encoded;
        let mut pieces = Vec::with_capacity(body.len() / limits::PIECE_BYTES + 1);
        while !body.is_empty() {
            pieces.push(body.split_to(body.len().min(limits::PIECE_BYTES)));
        }
        let (name, columns) = (table.name(), table.columns());
        let statement = format!("INSERT INTO `{database}`.`{name}` ({columns}) FORMAT ArrowStream");
        Self {
            client,
            table,
            statement,
            pieces,
        }
    }

    /// Sends the body once.
    async fn attempt(&self) -> Result<(), SinkError> {
        let table = self.table.name();
        let send = async {
            let mut request = self.client.insert_formatted_with(self.statement.as_str());
            for piece in &self.pieces {
                request.send(piece.clone()).await?;
            }
            request.end().await
        };
        match tokio::time::timeout(limits::INSERT_TIMEOUT, send).await {
            Ok(result) => result.map_err(|error| SinkError::from_client(table, &error)),
            Err(_) => Err(SinkError::Unavailable {
                table,
                code: None,
                detail: format!("no answer within {} s", limits::INSERT_TIMEOUT.as_secs()),
            }),
        }
    }
}

#[cfg(test)]
mod tests;
