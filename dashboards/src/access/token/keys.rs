//! The public keys of the issuer, as it published them last.
//!
//! Fetched again when a token names one that is not known (issuers change them), and from time to time, so that one that
//! was withdrawn is forgotten; no token waits for the latter. Never more often than once in a while: tokens with made-up
//! names must not make us flood the issuer. While it does not answer, what is known counts for some hours.

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use jsonwebtoken::{
    DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse},
};
use platform::clock::Clock;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;

use super::{KeySource, Signing, fetch, refused};
use crate::{
    api::problem::{Kind, Problem},
    limits,
};

/// A key, and what it is called.
#[derive(Clone)]
struct Named {
    name: Option<String>,
    signing: Signing,
    key: DecodingKey,
}

/// A set of keys as it is published. Those of kinds that we do not know are left out, not an error.
#[derive(Deserialize)]
struct Published {
    keys: Vec<Value>,
}

#[derive(Default)]
struct State {
    keys: Vec<Named>,
    /// When they were fetched; none: never.
    known_at: Option<Duration>,
    /// When it was tried last.
    tried_at: Option<Duration>,
}

/// The keys of the issuer.
pub(super) struct IssuerKeys {
    source: KeySource,
    ca_file: Option<PathBuf>,
    clock: Arc<dyn Clock>,
    state: RwLock<State>,
    /// Held by who fetches.
    turn: Mutex<()>,
}

impl IssuerKeys {
    pub(super) fn new(source: KeySource, ca_file: Option<PathBuf>, clock: Arc<dyn Clock>) -> Self {
        Self {
            source,
            ca_file,
            clock,
            state: RwLock::default(),
            turn: Mutex::default(),
        }
    }

    /// The key that a token says it was signed with.
    ///
    /// # Errors
    /// When there is none, or no key is known.
    pub(super) async fn find(&self, name: Option<&str>, signing: Signing) -> Result<DecodingKey, Problem> {
        if let (Some(key), true) = (self.known(name, signing), self.is_usable()) {
            return Ok(key);
        }
        self.refresh().await;
        match (self.known(name, signing), self.is_usable()) {
            (Some(key), true) => Ok(key),
            (None, true) => Err(refused("`kid` and `alg` fit no key of the issuer")),
            (_, false) => Err(unavailable()),
        }
    }

    /// Fetches the keys when it is time to: no token waits for that, which may take long.
    pub(super) async fn refresh_when_due(&self) {
        if self.age().is_none_or(|age| age >= limits::ISSUER_KEYS_REFRESH) {
            self.refresh().await;
        }
    }

    /// Fetches the keys, unless that was tried a moment ago.
    pub(super) async fn refresh(&self) {
        let _turn = self.turn.lock().await;
        let now = self.clock.monotonic();
        {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            if state
                .tried_at
                .is_some_and(|tried_at| now < tried_at + limits::ISSUER_KEYS_PAUSE)
            {
                return;
            }
            state.tried_at = Some(now);
        }
        let fetched = fetch::keys(&self.source, self.ca_file.as_deref()).await;
        match fetched.and_then(|text| read(&text)) {
            Ok(keys) => {
                let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
                state.keys = keys;
                state.known_at = Some(now);
            }
            Err(error) => tracing::warn!(
                error,
                "the keys of `[serve.jwt]` cannot be fetched; those known count on"
            ),
        }
    }

    fn known(&self, name: Option<&str>, signing: Signing) -> Option<DecodingKey> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let mut fitting = state.keys.iter().filter(|known| known.signing == signing);
        let found = match name {
            Some(name) => fitting.find(|known| known.name.as_deref() == Some(name)),
            // A token that names none can only mean the only one.
            None => fitting.next().filter(|_| fitting.next().is_none()),
        };
        found.map(|known| known.key.clone())
    }

    fn is_usable(&self) -> bool {
        self.age().is_some_and(|age| age < limits::ISSUER_KEYS_AGE_MAX)
    }

    fn age(&self) -> Option<Duration> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state
            .known_at
            .map(|known_at| self.clock.monotonic().saturating_sub(known_at))
    }
}

fn unavailable() -> Problem {
    Problem::new(
        Kind::Unavailable,
        "the keys of the issuer of this token cannot be fetched; try again in a moment",
    )
}

fn read(text: &[u8]) -> Result<Vec<Named>, String> {
    let published: Published =
        serde_json::from_slice(text).map_err(|_| "it is no JSON with `keys`, a list of public keys".to_owned())?;
    let keys: Vec<Named> = published.keys.into_iter().filter_map(named).collect();
    match keys.is_empty() {
        true => Err("it has no key for RS256, ES256 or EdDSA".to_owned()),
        false => Ok(keys),
    }
}

/// A key that a token can be signed with, if it is one.
fn named(value: Value) -> Option<Named> {
    let key: Jwk = serde_json::from_value(value).ok()?;
    let signing = match &key.algorithm {
        AlgorithmParameters::RSA(_) => Signing::Rs256,
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => Signing::Es256,
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => Signing::EdDsa,
        // A shared secret among public keys would be no secret.
        _ => return None,
    };
    let is_named = |algorithm: String| {
        Signing::ALL
            .iter()
            .any(|(name, known)| *known == signing && *name == algorithm)
    };
    let is_for_signing = matches!(key.common.public_key_use, None | Some(PublicKeyUse::Signature));
    let is_ours = is_for_signing
        && key
            .common
            .key_algorithm
            .is_none_or(|algorithm| is_named(algorithm.to_string()));
    Some(Named {
        key: DecodingKey::from_jwk(&key).ok().filter(|_| is_ours)?,
        name: key.common.key_id,
        signing,
    })
}
