//! ClickHouse for commands that look at what is stored: the server of the configuration, else that of a running
//! `meridian up`.

use std::path::Path;

use clickhouse::{Client, RowOwned, RowRead, query::Query};

use crate::{config::ValidConfig, endpoints::Endpoints, failure::Failure};

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
        let url = match &config.clickhouse.url {
            Some(url) => url.expose().to_owned(),
            None => Endpoints::find(data_dir)?.map(|endpoints| endpoints.clickhouse).ok_or_else(|| {
                Failure::runtime(
                    "no `meridian up` runs on `./meridian-data`: start it, name its folder with `--data-dir`, or give a \
                     configuration with `[clickhouse] url`",
                )
            })?,
        };
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
        let help = match said.contains("UNKNOWN_TABLE") || said.contains("UNKNOWN_IDENTIFIER") {
            true => "; run `meridian migrate` first",
            false => "",
        };
        Failure::runtime(format!("ClickHouse at `{}`: {said}{help}", self.url))
    }
}
