//! ClickHouse for commands that look at what is stored: the server of the configuration, else that of a running
//! `meridian up`.

use std::path::Path;

use clickhouse::{Client, RowOwned, RowRead, query::Query};

use crate::{config::ValidConfig, data_dir::DATA_DIR_DEFAULT, endpoints::Endpoints, failure::Failure};

/// The server that the configuration names, else that of the `up` which runs.
///
/// # Errors
/// When there is neither.
pub(crate) fn clickhouse_url(config: &ValidConfig, data_dir: Option<&Path>) -> Result<String, Failure> {
    if let Some(url) = &config.clickhouse.url {
        return Ok(url.expose().to_owned());
    }
    let running = Endpoints::find(data_dir)?.map(|endpoints| endpoints.clickhouse);
    running.ok_or_else(|| {
        Failure::usage(format!(
            "no `meridian up` runs on `{DATA_DIR_DEFAULT}`: start it, name the folder of one that runs with `--data-dir`, or \
             give a configuration with `[clickhouse] url` by `--config`"
        ))
    })
}

/// A server that can be asked.
pub(crate) struct Store {
    client: Client,
    url: String,
}

impl Store {
    /// Nothing is asked yet.
    ///
    /// # Errors
    /// When neither the configuration nor the data folder names a server.
    pub(crate) fn open(config: &ValidConfig, data_dir: Option<&Path>) -> Result<Self, Failure> {
        let url = clickhouse_url(config, data_dir)?;
        // What was written a moment ago must be there for the next question.
        let client = config.clickhouse.client(&url).with_setting("async_insert", "0");
        Ok(Self { client, url })
    }

    /// A question whose parameters are still to be given.
    pub(crate) fn query(&self, sql: &str) -> Query {
        self.client.query(sql)
    }

    /// All rows of the answer.
    ///
    /// # Errors
    /// When the server does not answer.
    pub(crate) async fn rows<T: RowOwned + RowRead>(&self, query: Query) -> Result<Vec<T>, Failure> {
        query.fetch_all().await.map_err(|error| self.failure(&error))
    }

    /// The client, for inserts.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// What to tell when the server does not answer as it should.
    pub(crate) fn failure(&self, error: &clickhouse::error::Error) -> Failure {
        let said = error.to_string();
        let without_schema = ["UNKNOWN_TABLE", "UNKNOWN_IDENTIFIER", "UNKNOWN_DATABASE"];
        let help = match without_schema.iter().any(|code| said.contains(code)) {
            true => "; run `meridian migrate` first",
            false => "",
        };
        Failure::runtime(format!("ClickHouse at `{}`: {said}{help}", self.url))
    }
}
