//! The keys that are known, as the table of keys had them a moment ago.
//!
//! The table is read every few seconds, so that a new key opens and a revoked one closes on every server soon. While
//! ClickHouse is away, what was known last counts; nobody can revoke a key then either. Must never take the absence of an
//! answer for the absence of keys.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use clickhouse::{Client, Row, error::Error};
use platform::shutdown::Shutdown;
use serde::{Deserialize, Serialize};
use tokio::time::{sleep, timeout};

use super::{
    caller::{Grant, Scope, Tenants},
    key::{NewKey, Proof, read_hash},
};
use crate::{
    api::problem::{Kind, Problem},
    limits,
};

/// The table of keys.
pub const KEY_TABLE: &str = "api_key_log";

/// All keys, each in its newest state.
const KEYS_SQL: &str = include_str!("keys.sql");

/// What ClickHouse says where a table, or a database, does not exist.
const NO_TABLE: [&str; 2] = ["Code: 60.", "Code: 81."];

/// A row of the table of keys. Times are in Unix milliseconds, 0 for never.
#[derive(Clone, Debug, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct KeyRow {
    /// The public part.
    pub id: String,
    /// Newer states of the same key have a greater one.
    pub version: u64,
    /// What the secret part is recognised by.
    pub hash: String,
    /// For people.
    pub name: String,
    /// 1: for every tenant there is, or will be.
    pub all_tenants: u8,
    /// The tenants it is for, else.
    pub tenants: Vec<String>,
    /// Names of what it allows.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: i64,
    /// From when on it is refused.
    pub expires_at: i64,
    /// When it was taken back.
    pub revoked_at: i64,
}

impl KeyRow {
    /// A new key, for no tenant yet.
    #[must_use]
    pub fn new(key: &NewKey, created_at: i64) -> Self {
        Self {
            id: key.id().to_owned(),
            version: 1,
            hash: key.hash(),
            name: String::new(),
            all_tenants: 0,
            tenants: Vec::new(),
            scopes: Vec::new(),
            created_at,
            expires_at: 0,
            revoked_at: 0,
        }
    }

    /// The same key, taken back. Whatever else happens to it, that is its newest state.
    #[must_use]
    pub fn revoked(mut self, now_ms: i64) -> Self {
        self.version = u64::MAX;
        self.revoked_at = now_ms;
        self
    }

    /// Whether it opens anything at this time.
    #[must_use]
    pub fn is_good(&self, now_ms: i64) -> bool {
        self.revoked_at == 0 && (self.expires_at == 0 || now_ms < self.expires_at)
    }
}

/// Reads all keys; none where the table does not exist yet.
///
/// # Errors
/// When ClickHouse does not answer.
pub async fn read_keys(client: &Client) -> Result<Vec<KeyRow>, Error> {
    match client.query_raw(KEYS_SQL).fetch_all().await {
        Err(Error::BadResponse(text)) if NO_TABLE.iter().any(|code| text.contains(code)) => Ok(Vec::new()),
        answer => answer,
    }
}

/// What is known of a key.
#[derive(Debug)]
struct Known {
    hash: [u8; 32],
    grant: Arc<Grant>,
    is_revoked: bool,
}

#[derive(Debug, Default)]
enum State {
    /// The table was never read.
    #[default]
    Unread,
    /// There has never been a key.
    None,
    Some(HashMap<String, Known>),
}

/// The keys that are known.
#[derive(Debug)]
pub(crate) struct KeyRing {
    client: Client,
    state: RwLock<State>,
}

impl KeyRing {
    /// `client` knows server, user and database. Nothing is known yet.
    pub(crate) fn new(client: Client) -> Self {
        Self {
            client: client.with_setting("readonly", "2"),
            state: RwLock::default(),
        }
    }

    /// Reads the table once.
    pub(crate) async fn refresh(&self) -> Result<(), String> {
        match timeout(limits::KEYS_WAIT_MAX, read_keys(&self.client)).await {
            Ok(Ok(rows)) => {
                self.learn(rows);
                Ok(())
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(_elapsed) => Err("no answer".to_owned()),
        }
    }

    /// Reads the table every few seconds, until shutdown.
    pub(crate) async fn keep(self: Arc<Self>, shutdown: Shutdown) {
        let mut is_told = false;
        loop {
            tokio::select! {
                () = shutdown.requested() => return,
                () = sleep(limits::KEYS_REFRESH_INTERVAL) => {}
            }
            match self.refresh().await {
                Ok(()) => is_told = false,
                Err(error) => {
                    if !is_told {
                        tracing::warn!(error, "the table of API keys cannot be read; those known last count");
                    }
                    is_told = true;
                }
            }
        }
    }

    /// Takes what the table has for what is known.
    fn learn(&self, rows: Vec<KeyRow>) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let had_keys = matches!(*state, State::Some(_));
        *state = match rows.is_empty() && !had_keys {
            true => State::None,
            false => State::Some(rows.into_iter().filter_map(known).collect()),
        };
    }

    /// True as long as nobody ever made a key. False as long as that is not known.
    pub(crate) fn has_none(&self) -> bool {
        matches!(*self.read(), State::None)
    }

    /// True as long as the table was never read.
    pub(crate) fn is_unread(&self) -> bool {
        matches!(*self.read(), State::Unread)
    }

    /// What a key allows; none for one that opens nothing.
    ///
    /// # Errors
    /// When no key is known yet.
    pub(crate) fn grant(&self, proof: &Proof, now_ms: i64) -> Result<Option<Arc<Grant>>, Problem> {
        match &*self.read() {
            State::Unread => Err(unknown()),
            State::None => Ok(None),
            State::Some(keys) => {
                let known = keys.get(&proof.id).filter(|known| proof.fits(&known.hash));
                Ok(known
                    .filter(|known| known.is_good(now_ms))
                    .map(|known| known.grant.clone()))
            }
        }
    }

    /// Whether a key that was good is so still.
    pub(crate) fn is_good(&self, id: &str, now_ms: i64) -> bool {
        match &*self.read() {
            State::Some(keys) => keys.get(id).is_some_and(|known| known.is_good(now_ms)),
            State::Unread | State::None => false,
        }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn is_good(&self, now_ms: i64) -> bool {
        !self.is_revoked && self.grant.expires_ms.is_none_or(|expires_ms| now_ms < expires_ms)
    }
}

/// Nothing can be said about credentials yet.
pub(crate) fn unknown() -> Problem {
    Problem::new(
        Kind::Unavailable,
        "the keys are not known yet, since ClickHouse has not answered; try again in a moment",
    )
}

/// A row that cannot be read opens nothing.
fn known(row: KeyRow) -> Option<(String, Known)> {
    let hash = read_hash(&row.hash)?;
    let grant = Grant {
        account: Some(format!("key {}", row.id)),
        name: row.name,
        tenants: match row.all_tenants {
            1 => Tenants::All,
            // The empty one would be all of them.
            _ => Tenants::These(row.tenants.into_iter().filter(|tenant| !tenant.is_empty()).collect()),
        },
        // A scope of a later release means nothing here.
        scopes: row.scopes.iter().filter_map(|name| Scope::named(name)).collect(),
        expires_ms: (row.expires_at != 0).then_some(row.expires_at),
    };
    let known = Known {
        hash,
        grant: Arc::new(grant),
        is_revoked: row.revoked_at != 0,
    };
    Some((row.id, known))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring() -> KeyRing {
        KeyRing::new(Client::default())
    }

    fn row(key: &NewKey) -> KeyRow {
        KeyRow {
            tenants: vec!["acme".to_owned()],
            scopes: vec!["read".to_owned(), "paint".to_owned()],
            expires_at: 1_000,
            ..KeyRow::new(key, 1)
        }
    }

    #[test]
    fn a_key_opens_until_it_expires_or_is_revoked() {
        let (ring, key) = (ring(), NewKey::make().unwrap());
        let proof = Proof::of_key(&key.text()).unwrap();
        let is_open = |now_ms: i64| ring.grant(&proof, now_ms).unwrap().is_some();
        assert_eq!(ring.grant(&proof, 0).unwrap_err().kind, Kind::Unavailable);
        ring.learn(vec![row(&key)]);
        assert!(is_open(999) && !is_open(1_000));
        assert!(ring.is_good(key.id(), 999) && !ring.is_good(key.id(), 1_000));
        let grant = ring.grant(&proof, 0).unwrap().unwrap();
        assert!(grant.scopes.contains(&Scope::Read) && grant.scopes.len() == 1);
        ring.learn(vec![row(&key).revoked(5)]);
        assert!(!is_open(6) && !ring.is_good(key.id(), 6));
    }

    #[test]
    fn the_door_is_open_only_where_there_has_never_been_a_key() {
        let (ring, key) = (ring(), NewKey::make().unwrap());
        assert!(!ring.has_none(), "not known yet");
        ring.learn(Vec::new());
        assert!(ring.has_none());
        ring.learn(vec![row(&key).revoked(5)]);
        assert!(!ring.has_none());
        ring.learn(Vec::new());
        assert!(!ring.has_none(), "a table that was emptied opens nothing");
    }

    #[test]
    fn a_key_with_the_right_number_and_another_secret_opens_nothing() {
        let (ring, key, other) = (ring(), NewKey::make().unwrap(), NewKey::make().unwrap());
        ring.learn(vec![row(&key), row(&other)]);
        let mixed = key.text().replace(key.id(), other.id());
        assert!(ring.grant(&Proof::of_key(&mixed).unwrap(), 0).unwrap().is_none());
    }
}
