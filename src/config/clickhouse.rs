//! `[clickhouse]` and `[retention]`: where rows go, and how long they stay.

use clickhouse::Client;
use platform::config::{Field, Secret, Section, Url};
use processors::{migrate::MigrateOptions, sink::SinkSettings};
use schemas::clickhouse::{Engines, Retention};

use super::limits;

/// Where rows go.
#[derive(Clone, Debug)]
pub(crate) struct ClickHouseSettings {
    /// The server; none: start an engine of our own.
    pub(crate) url: Option<Url>,
    /// Who we are there; the embedded engine asks for the same.
    pub(crate) user: String,
    /// Its password.
    pub(crate) password: Option<Secret>,
    /// Whether processors bring the schema up to date by themselves.
    pub(crate) auto_migrate: bool,
    /// What the schema looks like.
    pub(crate) migrate: MigrateOptions,
    compress: bool,
    insert_settings: Vec<(String, String)>,
}

impl ClickHouseSettings {
    /// A client for the server at `url`, whichever that is.
    pub(crate) fn client(&self, url: &str) -> Client {
        let client = Client::default()
            .with_url(url)
            .with_user(&self.user)
            .with_database(&self.migrate.database);
        match &self.password {
            Some(password) => client.with_password(password.expose()),
            None => client,
        }
    }

    /// How rows reach the server at `url`.
    pub(crate) fn sink(&self, url: &str) -> SinkSettings {
        SinkSettings {
            compress: self.compress,
            settings: self.insert_settings.clone(),
            ..SinkSettings::new(self.client(url), &self.migrate.database)
        }
    }
}

/// Reads where rows go.
pub(super) fn read(root: &Section<'_>) -> ClickHouseSettings {
    let section = root.section("clickhouse");
    let url_field = section.optional("url").and_then(Field::non_empty);
    let url = url_field.as_ref().and_then(|field| field.url(&["http"]));
    if let (Some(field), Some(url)) = (&url_field, &url)
        && (url.user.is_some() || url.password.is_some())
    {
        field.fault("has a user; write `user` and `password_file` instead");
    }
    let database_field = section.required("database");
    let database = database_field.text();
    let plain = |character: char| character.is_ascii_alphanumeric() || character == '_';
    if database.is_empty() || !database.chars().all(plain) || database.starts_with(|first: char| first.is_ascii_digit())
    {
        database_field.fault("is not a plain name; use letters, digits and `_`, and no digit first");
    }
    ClickHouseSettings {
        url,
        user: section.required("user").text(),
        password: section.secret("password"),
        auto_migrate: section.required("auto_migrate").boolean(),
        migrate: MigrateOptions {
            database,
            engines: read_engines(&section),
            retention: read_retention(&root.section("retention")),
        },
        compress: section.required("compress").boolean(),
        insert_settings: section.properties("insert_settings").into_iter().collect(),
    }
}

fn read_engines(section: &Section<'_>) -> Engines {
    let is_replicated = section
        .required("engines")
        .one_of(&[("plain", false), ("replicated", true)]);
    let cluster_field = section.optional("cluster");
    let cluster = cluster_field.as_ref().map(Field::text);
    if is_replicated {
        return Engines::Replicated { cluster };
    }
    if let Some(field) = cluster_field {
        field.fault("has no meaning with `engines = \"plain\"`; write `engines = \"replicated\"` or remove it");
    }
    Engines::Plain
}

fn read_retention(section: &Section<'_>) -> Retention {
    let age = |key| section.optional(key).map(|field| field.duration(limits::AGE));
    Retention {
        measurements: age("measurements"),
        rollups: age("rollups"),
        dead_letters: age("dead_letters"),
    }
}
