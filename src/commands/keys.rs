//! `meridian keys`: who may ask the web side.

use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand, ValueEnum, builder::ValueParser};
use dashboards::{KEY_TABLE, KeyRow, NewKey, Scope, read_keys};
use platform::units::parse_duration;
use schemas::name;
use serde_json::{Value, json};

use super::access::Access;
use crate::{cli::CommonOptions, failure::Failure, limits, output, store::Store, when};

const EXAMPLES: &str = "\
Examples:
  meridian keys new --tenant acme --name \"wall screen in the yard\" --expires 90d
  meridian keys ls
  meridian keys revoke 3f9a12c0de41";

const NEW_EXAMPLES: &str = "\
Examples:
  meridian keys new --tenant acme --expires 90d
  meridian keys new --tenant acme --tenant beta --scope read --name notebooks
  meridian keys new --all-tenants --scope read --scope live --scope operate --name operators

The key is shown once: only a hash of it is stored. It opens within two seconds, on every server that reads this \
ClickHouse. With the first key, requests without one are refused, on this machine too.";

const LS_EXAMPLES: &str = "\
Examples:
  meridian keys ls
  meridian keys ls --format json --config meridian.toml";

const REVOKE_EXAMPLES: &str = "\
Example:
  meridian keys revoke 3f9a12c0de41

Takes hold within two seconds, for open streams within fifteen more. A key that was revoked cannot be used again.";

/// Say who may ask the web side: make, list and revoke API keys
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct KeysOptions {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    New(NewOptions),
    Ls(LsOptions),
    Revoke(RevokeOptions),
}

/// Make a key and show it, once
#[derive(Debug, Args)]
#[command(after_help = NEW_EXAMPLES)]
#[command(group(ArgGroup::new("whose").required(true).args(["tenants", "all_tenants"])))]
struct NewOptions {
    /// Tenant that the key is for; may be given several times
    #[arg(long = "tenant", value_name = "TENANT", value_parser = ValueParser::new(tenant))]
    tenants: Vec<String>,
    /// For every tenant there is, or will be
    #[arg(long)]
    all_tenants: bool,
    /// What the key allows; may be given several times [default: read and live]
    #[arg(long = "scope", value_enum, value_name = "SCOPE")]
    scopes: Vec<ScopeChoice>,
    /// How long the key opens anything, as `90d`; without it, until it is revoked
    #[arg(long, value_name = "DURATION", value_parser = ValueParser::new(lifetime))]
    expires: Option<Duration>,
    /// What it is for, so that somebody knows next year
    #[arg(long, value_name = "TEXT", default_value = "", value_parser = ValueParser::new(name_of_key))]
    name: String,
    #[command(flatten)]
    access: Access,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ScopeChoice {
    /// Ask for what is stored
    Read,
    /// Follow live streams
    Live,
    /// See how the process is, and tap the event log
    Operate,
}

/// Show all keys, without what opens anything
#[derive(Debug, Args)]
#[command(after_help = LS_EXAMPLES)]
struct LsOptions {
    #[command(flatten)]
    access: Access,
}

/// Take a key back, for good
#[derive(Debug, Args)]
#[command(after_help = REVOKE_EXAMPLES)]
struct RevokeOptions {
    /// Its number, as `keys ls` shows it: the middle part of the key
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    access: Access,
}

/// Does it.
///
/// # Errors
/// When ClickHouse cannot be used, or there is no such key.
pub(crate) async fn run(options: &KeysOptions, common: &CommonOptions) -> Result<(), Failure> {
    match &options.command {
        KeysCommand::New(options) => new(options, common).await,
        KeysCommand::Ls(options) => ls(options, common).await,
        KeysCommand::Revoke(options) => revoke(options, common).await,
    }
}

fn open(access: &Access, common: &CommonOptions) -> Result<Store, Failure> {
    Store::open(&common.load()?, access.data_dir.as_deref())
}

async fn new(options: &NewOptions, common: &CommonOptions) -> Result<(), Failure> {
    let store = open(&options.access, common)?;
    let now_ms = when::now_ms();
    let is_first = all(&store).await?.is_empty();
    let key = NewKey::make().map_err(Failure::runtime)?;
    let lifetime_ms = options
        .expires
        .map(|lifetime| i64::try_from(lifetime.as_millis()).unwrap_or(i64::MAX / 2));
    let row = KeyRow {
        name: options.name.clone(),
        all_tenants: options.all_tenants.into(),
        tenants: options.tenants.clone(),
        scopes: scopes(&options.scopes),
        expires_at: lifetime_ms.map_or(0, |lifetime_ms| now_ms + lifetime_ms),
        ..KeyRow::new(&key, now_ms)
    };
    write(&store, &row).await?;
    if options.access.is_json(common) {
        let mut told = described(&row, now_ms);
        told["key"] = Value::from(key.text());
        return output::print(&format!("{told}\n"));
    }
    let first = match is_first {
        true => "This is the first key: from now on, requests without one are refused, on this machine too.\n",
        false => "",
    };
    output::print(&format!(
        "{}\n\nIt is shown this once. Give it as `Authorization: Bearer …`, or to the page that asks for it.\n{}{first}",
        key.text(),
        output::table(&rows(&row, now_ms)),
    ))
}

async fn ls(options: &LsOptions, common: &CommonOptions) -> Result<(), Failure> {
    let store = open(&options.access, common)?;
    let now_ms = when::now_ms();
    let keys = all(&store).await?;
    if options.access.is_json(common) {
        let keys: Vec<Value> = keys.iter().map(|row| described(row, now_ms)).collect();
        return output::print(&format!("{}\n", Value::from(keys)));
    }
    if keys.is_empty() {
        return output::print("there are no keys; `meridian keys new` makes one\n");
    }
    let texts: Vec<String> = keys.iter().map(|row| output::table(&rows(row, now_ms))).collect();
    output::print(&texts.join("\n"))
}

async fn revoke(options: &RevokeOptions, common: &CommonOptions) -> Result<(), Failure> {
    let store = open(&options.access, common)?;
    let now_ms = when::now_ms();
    // Whoever pastes a whole key means it.
    let id = options.id.strip_prefix("mrd_").map_or(options.id.as_str(), |rest| {
        rest.split_once('_').map_or(rest, |(id, _)| id)
    });
    let found = all(&store).await?.into_iter().find(|row| row.id == id);
    let row = found.ok_or_else(|| {
        Failure::runtime(format!(
            "there is no key `{}`; `meridian keys ls` shows all",
            output::printable(id)
        ))
    })?;
    let row = match row.revoked_at {
        0 => {
            let row = row.revoked(now_ms);
            write(&store, &row).await?;
            row
        }
        _ => row,
    };
    match options.access.is_json(common) {
        true => output::print(&format!("{}\n", described(&row, now_ms))),
        false => output::print(&output::table(&rows(&row, now_ms))),
    }
}

async fn all(store: &Store) -> Result<Vec<KeyRow>, Failure> {
    read_keys(store.client()).await.map_err(|error| store.failure(&error))
}

async fn write(store: &Store, row: &KeyRow) -> Result<(), Failure> {
    let failed = |error| store.failure(&error);
    let mut insert = store.client().insert::<KeyRow>(KEY_TABLE).await.map_err(failed)?;
    insert.write(row).await.map_err(failed)?;
    insert.end().await.map_err(failed)
}

fn scopes(chosen: &[ScopeChoice]) -> Vec<String> {
    let scope = |choice: ScopeChoice| match choice {
        ScopeChoice::Read => Scope::Read,
        ScopeChoice::Live => Scope::Live,
        ScopeChoice::Operate => Scope::Operate,
    };
    let mut scopes: Vec<Scope> = match chosen {
        [] => vec![Scope::Read, Scope::Live],
        chosen => chosen.iter().copied().map(scope).collect(),
    };
    scopes.sort_unstable();
    scopes.dedup();
    scopes.into_iter().map(|scope| scope.name().to_owned()).collect()
}

fn tenants(row: &KeyRow) -> String {
    match row.all_tenants {
        1 => "all".to_owned(),
        _ => row.tenants.join(", "),
    }
}

fn state(row: &KeyRow, now_ms: i64) -> &'static str {
    match (row.revoked_at, row.is_good(now_ms)) {
        (0, true) => "good",
        (0, false) => "expired",
        _ => "revoked",
    }
}

fn rows(row: &KeyRow, now_ms: i64) -> Vec<(&'static str, String)> {
    let mut rows = vec![("id", row.id.clone())];
    if !row.name.is_empty() {
        rows.push(("name", output::printable(&row.name)));
    }
    rows.extend([
        ("tenants", tenants(row)),
        ("scopes", row.scopes.join(", ")),
        ("created", when::show(row.created_at)),
    ]);
    if row.expires_at != 0 {
        rows.push(("expires", when::show(row.expires_at)));
    }
    if row.revoked_at != 0 {
        rows.push(("revoked", when::show(row.revoked_at)));
    }
    rows.push(("state", state(row, now_ms).to_owned()));
    rows
}

fn described(row: &KeyRow, now_ms: i64) -> Value {
    let time = |unix_ms: i64| (unix_ms != 0).then(|| when::show(unix_ms));
    json!({
        "id": row.id,
        "name": row.name,
        "all_tenants": row.all_tenants == 1,
        "tenants": row.tenants,
        "scopes": row.scopes,
        "created": time(row.created_at),
        "expires": time(row.expires_at),
        "revoked": time(row.revoked_at),
        "state": state(row, now_ms),
    })
}

fn tenant(text: &str) -> Result<String, String> {
    match name::is_identifier(text) {
        true => Ok(text.to_owned()),
        false => Err("a tenant has letters, digits and `._:-`, 1 to 128 of them".to_owned()),
    }
}

fn lifetime(text: &str) -> Result<Duration, String> {
    let lifetime = parse_duration(text).map_err(|error| format!("it {error}"))?;
    match limits::KEY_LIFETIME.contains(&lifetime) {
        true => Ok(lifetime),
        false => Err("a key lives from a second to a hundred years".to_owned()),
    }
}

fn name_of_key(text: &str) -> Result<String, String> {
    match text.len() <= limits::KEY_NAME_BYTES_MAX {
        true => Ok(text.to_owned()),
        false => Err(format!("a name has at most {} bytes", limits::KEY_NAME_BYTES_MAX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_and_follows_unless_something_else_is_said() {
        assert_eq!(scopes(&[]), ["read", "live"]);
        assert_eq!(
            scopes(&[ScopeChoice::Operate, ScopeChoice::Read, ScopeChoice::Read]),
            ["read", "operate"]
        );
    }

    #[test]
    fn nothing_that_is_listed_opens_anything() {
        let key = NewKey::make().unwrap();
        let row = KeyRow::new(&key, 5);
        let told = format!("{} {:?}", described(&row, 6), rows(&row, 6));
        assert!(
            told.contains(key.id()) && !told.contains(&key.hash()) && !told.contains(&key.text()),
            "{told}"
        );
    }

    #[test]
    fn the_state_of_a_key_is_told() {
        let row = KeyRow {
            expires_at: 10,
            ..KeyRow::new(&NewKey::make().unwrap(), 5)
        };
        assert_eq!((state(&row, 9), state(&row, 10)), ("good", "expired"));
        assert_eq!(state(&row.revoked(7), 9), "revoked");
    }
}
