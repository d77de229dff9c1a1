//! The door: who asks is known, and may, before anything is answered.
//!
//! ```text
//! connection ─▶ guard ─▶ (address: Host, Origin) ─▶ credential ─▶ scope ─▶ handler with a `Caller`
//! ```
//!
//! Everything is closed that is not in the short list of what anybody may see, so a new address needs nothing to be
//! closed too. Without any credential at all, the door is open to this machine and to nobody else. Must never write a
//! credential to a log, nor let one appear in an address.

pub(crate) mod buckets;
pub(crate) mod caller;
mod host;
pub(crate) mod key;
pub(crate) mod limiter;
pub(crate) mod ring;
pub(crate) mod session;
pub(crate) mod token;

use std::{net::SocketAddr, sync::Arc};

use axum::{
    extract::{ConnectInfo, MatchedPath, Request, State},
    http::{HeaderMap, HeaderValue, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use platform::clock::Clock;

use self::{
    caller::{Caller, Scope},
    limiter::Limiter,
    ring::KeyRing,
    session::Presented,
    token::Tokens,
};
use crate::{
    api::problem::{Kind, Problem},
    assets,
    metrics::DoorMetrics,
    tap,
};

/// Where keys are known from, and where the server listens.
pub(crate) struct Gate {
    pub(crate) ring: Arc<KeyRing>,
    /// What is believed of an issuer, if there is one.
    pub(crate) tokens: Option<Tokens>,
    /// It listens to this machine only.
    pub(crate) is_loopback: bool,
    pub(crate) limiter: Limiter,
    pub(crate) metrics: DoorMetrics,
    pub(crate) clock: Arc<dyn Clock>,
}

/// Who may see an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needed {
    /// Anybody.
    Nothing,
    /// Who may ask this.
    Scope(Scope),
}

/// By the path as it was routed; none for what is routed nowhere.
fn needed(path: Option<&str>) -> Needed {
    match path {
        // The page is the same for all; what it shows is not in it.
        Some("/" | assets::PATH | "/api/openapi.json" | session::PATH) => Needed::Nothing,
        // Probes come from machines that know nothing; they are told no more than yes or no.
        path if is_probe(path) => Needed::Nothing,
        Some("/status" | tap::PATH) => Needed::Scope(Scope::Operate),
        Some("/api/v1/live") => Needed::Scope(Scope::Live),
        Some(_) | None => Needed::Scope(Scope::Read),
    }
}

/// Whether somebody asks how the server is.
fn is_probe(path: Option<&str>) -> bool {
    matches!(path, Some("/healthz" | "/readyz"))
}

/// Whether answering is work, for the store or the log; the rest is in memory.
fn is_question(path: Option<&str>) -> bool {
    path.is_some_and(|path| path.starts_with("/api/v1/"))
}

impl Gate {
    /// Whether everybody who sits at this machine may see everything: nobody has made a key, or named an issuer.
    fn is_open(&self) -> bool {
        self.is_loopback && self.tokens.is_none() && self.ring.has_none()
    }

    /// Whether the door is open for all that is known: the keys were never read.
    fn may_be_open(&self) -> bool {
        self.is_loopback && self.tokens.is_none() && self.ring.is_unread()
    }

    /// Who asks for this path, within the limits of the address and of the credential.
    ///
    /// # Errors
    /// As [`Self::caller`], when they asked too often, and when they come through the open door from elsewhere.
    async fn counted(&self, peer: SocketAddr, path: Option<&str>, headers: &HeaderMap) -> Result<Caller, Problem> {
        if self.is_open() {
            host::check(headers, is_question(path))?;
            return Ok(Caller::local(self.ring.clone()));
        }
        let address = self.limiter.address(peer.ip(), headers);
        self.limiter.count_address(address)?;
        match self.caller(headers).await {
            Ok(caller) => {
                if let Some(account) = &caller.grant().account {
                    self.limiter.count_credential(account)?;
                }
                Ok(caller)
            }
            // A browser with a cookie that has ended must still get the page that lets it log in again.
            Err(problem) if problem.kind == Kind::CredentialRefused && needed(path) != Needed::Nothing => {
                self.limiter.count_failure(address)?;
                Err(problem)
            }
            Err(problem) => Err(problem),
        }
    }

    /// Who asks with a credential.
    ///
    /// # Errors
    /// When that cannot be known, or the credential is no good.
    async fn caller(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        match session::presented(headers)? {
            Some(presented) => self.admit(&presented).await,
            None if self.may_be_open() => Err(ring::unknown()),
            None => Err(missing()),
        }
    }

    /// Who has this.
    ///
    /// # Errors
    /// When it opens nothing.
    pub(crate) async fn admit(&self, presented: &Presented) -> Result<Caller, Problem> {
        match presented {
            Presented::Key(proof) => {
                let grant = self.ring.grant(proof, self.clock.wall_ms())?.ok_or_else(refused)?;
                Ok(Caller::with_key(grant, self.ring.clone(), proof.id.clone()))
            }
            Presented::Token(token) => {
                let tokens = self.tokens.as_ref().ok_or_else(refused)?;
                let grant = tokens.grant(token).await?;
                Ok(Caller::until_expiry(Arc::new(grant)))
            }
        }
    }
}

/// The one refusal of credentials: it does not tell unknown, wrong, expired and revoked ones apart.
pub(crate) fn refused() -> Problem {
    Problem::new(
        Kind::CredentialRefused,
        "the credential is unknown, expired or revoked; ask for a new key",
    )
}

pub(crate) fn missing() -> Problem {
    Problem::new(
        Kind::CredentialMissing,
        "give a key as `Authorization: Bearer mrd_…`; `meridian keys new` makes one",
    )
}

/// Stands before everything that is served.
pub(crate) async fn guard(
    State(gate): State<Arc<Gate>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let needed = needed(path);
    let caller = gate
        .counted(peer, path, request.headers())
        .await
        .and_then(|caller| match needed {
            Needed::Nothing => Ok(caller),
            Needed::Scope(scope) => caller.check(scope).map(|()| caller),
        });
    match caller {
        Ok(caller) => {
            let is_known = caller.is_known();
            request.extensions_mut().insert(caller);
            let response = next.run(request).await;
            match is_known {
                true => private(response),
                false => response,
            }
        }
        // Pages of another site must not see even what everybody may.
        Err(problem) if needed == Needed::Nothing && problem.is_about_credentials() => {
            request.extensions_mut().insert(problem);
            next.run(request).await
        }
        // Who watches us must not take many requests of its neighbours for our end.
        Err(problem) if is_probe(path) && problem.kind == Kind::RateLimited => {
            request.extensions_mut().insert(problem);
            next.run(request).await
        }
        Err(problem) => {
            tracing::debug!(%peer, problem = ?problem.kind, "refused");
            gate.metrics.refused(problem.kind);
            problem.into_response()
        }
    }
}

/// What one may see is for nobody else, and no cache between us may think so.
fn private(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let before = headers.get(header::CACHE_CONTROL).and_then(|value| value.to_str().ok());
    let is_shared = before.is_none_or(|before| !before.contains("no-store") && !before.contains("public"));
    if is_shared {
        let text = before.map_or("private".to_owned(), |before| format!("private, {before}"));
        let value = HeaderValue::from_str(&text).expect("it was a header before");
        headers.insert(header::CACHE_CONTROL, value);
    }
    headers.append(header::VARY, HeaderValue::from_static("authorization, cookie"));
    response
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::*;

    /// All files that route something.
    const ROUTERS: [&str; 4] = [
        include_str!("../server.rs"),
        include_str!("../api/mod.rs"),
        include_str!("../live/mod.rs"),
        include_str!("session.rs"),
    ];

    /// The paths that are routed, as they stand in the files.
    fn routed() -> Vec<String> {
        let names = [
            ("crate::assets::PATH", assets::PATH),
            ("tap::PATH", tap::PATH),
            ("PATH", session::PATH),
        ];
        let calls = ROUTERS.iter().flat_map(|file| file.split(".route(").skip(1));
        let paths = calls.map(|call| {
            let path = call.split(',').next().unwrap().trim();
            let named = names.iter().find(|(name, _)| *name == path);
            named.map_or_else(|| path.trim_matches('"').to_owned(), |(_, path)| (*path).to_owned())
        });
        paths.collect()
    }

    #[test]
    fn what_anybody_may_see_is_a_short_list_and_everything_else_is_closed() {
        let routed = routed();
        assert!(
            routed.len() >= 15 && routed.contains(&"/api/v1/cells".to_owned()),
            "{routed:?}"
        );
        let open = routed.iter().filter(|path| needed(Some(path)) == Needed::Nothing);
        let expected = [
            "/",
            assets::PATH,
            "/healthz",
            "/readyz",
            "/api/openapi.json",
            session::PATH,
        ];
        assert_eq!(open.map(String::as_str).collect::<Vec<_>>(), expected);
        assert_eq!(needed(None), Needed::Scope(Scope::Read));
    }

    #[test]
    fn every_address_is_described_so_that_the_tests_of_credentials_try_it() {
        let description: serde_json::Value = serde_json::from_str(&crate::api::description()).unwrap();
        // The page, probes, and what is no part of the query API.
        let others = [
            "/",
            "/status",
            assets::PATH,
            "/healthz",
            "/readyz",
            tap::PATH,
            "/api/openapi.json",
        ];
        for path in routed() {
            let is_described = description["paths"][&path].is_object();
            assert!(is_described || others.contains(&path.as_str()), "{path}");
        }
        let mut folders = vec![PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
        let mut routers = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if fs::read_to_string(&path)
                    .unwrap()
                    .contains(&["Router", "::new()"].concat())
                {
                    routers.push(path);
                }
            }
        }
        assert_eq!(routers.len(), ROUTERS.len(), "the list above lacks one of {routers:?}");
    }
}
