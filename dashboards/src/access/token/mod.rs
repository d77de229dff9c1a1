//! Tokens that somebody else issues (JWT): who signed one is checked, and what it says is believed then.
//!
//! Only signatures with public keys: whoever can check a token must not be able to make one. The algorithm is one that the
//! configuration allows *and* that the key is made for; what the token itself names decides nothing. Must never follow an
//! address that a token names.

mod fetch;
mod keys;
mod signature;

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use platform::{clock::Clock, config::Url};
use schemas::name;
use serde::Deserialize;
use serde_json::{Map, Value};

use self::keys::IssuerKeys;
use super::caller::{Grant, Scope, Tenants};
use crate::{
    api::problem::{Kind, Problem},
    limits,
};

/// Where the keys of the issuer are published.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// An address, fetched again from time to time.
    Url(Url),
    /// A file, read again from time to time.
    File(PathBuf),
}

/// How a token may be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signing {
    /// RSA with SHA-256, keys of 2,048 bits and more.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

/// Which tokens are believed, and what they mean.
#[derive(Clone, Debug)]
pub struct TokenSettings {
    /// The keys of the issuer.
    pub keys: KeySource,
    /// Authorities that vouch for the address of the keys, as a PEM file; none: those of the machine.
    pub ca_file: Option<PathBuf>,
    /// What `iss` has to be.
    pub issuer: String,
    /// What `aud` has to name.
    pub audience: String,
    /// How a token may be signed.
    pub signings: Vec<Signing>,
    /// The claim that names the tenant, or a list of them; `*` is all of them.
    pub tenant_claim: String,
    /// The claim that names what is allowed; none: reading and following is.
    pub scope_claim: Option<String>,
}

/// Tells whose a token is.
pub(crate) struct Tokens {
    settings: TokenSettings,
    keys: IssuerKeys,
    clock: Arc<dyn Clock>,
}

/// Times are numbers that need not be whole.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: OneOrMany,
    exp: f64,
    nbf: Option<f64>,
    #[serde(default)]
    sub: String,
    #[serde(flatten)]
    others: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl Signing {
    /// By the name that tokens have for it.
    pub const ALL: [(&'static str, Self); 3] = [("RS256", Self::Rs256), ("ES256", Self::Es256), ("EdDSA", Self::EdDsa)];

    fn of(algorithm: Algorithm) -> Option<Self> {
        match algorithm {
            Algorithm::RS256 => Some(Self::Rs256),
            Algorithm::ES256 => Some(Self::Es256),
            Algorithm::EdDSA => Some(Self::EdDsa),
            _ => None,
        }
    }
}

/// Why a token is not believed: for whoever gave it, who can read it anyway.
fn refused(why: &str) -> Problem {
    Problem::new(Kind::CredentialRefused, format!("the token is refused: {why}"))
}

/// Whether a text has the shape of a token.
pub(crate) fn is_token(text: &str) -> bool {
    text.len() <= limits::TOKEN_BYTES_MAX && text.starts_with("eyJ") && text.split('.').count() == 3
}

impl Tokens {
    pub(crate) fn new(settings: TokenSettings, clock: Arc<dyn Clock>) -> Self {
        signature::install();
        Self {
            keys: IssuerKeys::new(settings.keys.clone(), settings.ca_file.clone(), clock.clone()),
            settings,
            clock,
        }
    }

    /// Fetches the keys when it is time to, at once to begin with.
    pub(crate) async fn refresh_when_due(&self) {
        self.keys.refresh_when_due().await;
    }

    /// What a token allows.
    ///
    /// # Errors
    /// Why it is not believed.
    pub(crate) async fn grant(&self, token: &str) -> Result<Grant, Problem> {
        let header = decode_header(token).map_err(|_| refused("its header cannot be read"))?;
        let signing = Signing::of(header.alg)
            .filter(|signing| self.settings.signings.contains(signing))
            .ok_or_else(|| refused("its algorithm is not allowed here"))?;
        if header.crit.is_some() {
            return Err(refused("it needs an extension that is not known here"));
        }
        let key = self.keys.find(header.kid.as_deref(), signing).await?;
        let claims = read(token, &key, header.alg)?;
        self.check(&claims)?;
        self.believe(claims)
    }

    fn check(&self, claims: &Claims) -> Result<(), Problem> {
        if claims.iss != self.settings.issuer {
            return Err(refused("`iss` is another issuer"));
        }
        let audience = &self.settings.audience;
        let is_for_us = match &claims.aud {
            OneOrMany::One(one) => one == audience,
            OneOrMany::Many(many) => many.contains(audience),
        };
        if !is_for_us {
            return Err(refused("`aud` does not name this service"));
        }
        let now = self.clock.wall_ms() as f64 / 1_000.0;
        let leeway = limits::TOKEN_LEEWAY.as_secs_f64();
        if claims.exp.is_nan() || claims.exp + leeway <= now {
            return Err(refused("it has expired"));
        }
        let is_early = |not_before: f64| not_before.is_nan() || not_before - leeway > now;
        if claims.nbf.is_some_and(is_early) {
            return Err(refused("its time has not come yet"));
        }
        Ok(())
    }

    fn believe(&self, claims: Claims) -> Result<Grant, Problem> {
        let tenant_claim = &self.settings.tenant_claim;
        let named = words(claims.others.get(tenant_claim), false);
        let tenants = match named.iter().any(|name| name == "*") {
            true => Tenants::All,
            false if !named.is_empty() && named.iter().all(|name| name::is_identifier(name)) => Tenants::These(named),
            false => return Err(refused(&format!("`{tenant_claim}` names no tenant"))),
        };
        let scopes = match &self.settings.scope_claim {
            None => BTreeSet::from([Scope::Read, Scope::Live]),
            Some(claim) => {
                let words = words(claims.others.get(claim), true);
                words.iter().filter_map(|word| Scope::named(word)).collect()
            }
        };
        let expires_ms = (claims.exp + limits::TOKEN_LEEWAY.as_secs_f64()) * 1_000.0;
        Ok(Grant {
            // Services of an issuer often have no `sub`, or the same one for all tenants.
            account: Some(format!("token {} {tenants:?}", claims.sub)),
            name: claims.sub,
            tenants,
            scopes,
            // Beyond any date a conversion stays at the last one.
            expires_ms: Some(expires_ms as i64),
        })
    }
}

/// The signature is checked here; the claims are not yet.
fn read(token: &str, key: &DecodingKey, algorithm: Algorithm) -> Result<Claims, Problem> {
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    let token = decode::<Claims>(token, key, &validation);
    token.map(|token| token.claims).map_err(|error| match error.kind() {
        jsonwebtoken::errors::ErrorKind::InvalidSignature => refused("its signature is not the issuer's"),
        _ => refused("it lacks `iss`, `aud` or `exp`, or cannot be read"),
    })
}

/// A text, or a list of texts; where words in one text count, they are split at spaces.
fn words(value: Option<&Value>, is_split: bool) -> BTreeSet<String> {
    let texts: Vec<&str> = match value {
        Some(Value::String(text)) if is_split => text.split(' ').collect(),
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(values)) => values.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    texts
        .into_iter()
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests;
