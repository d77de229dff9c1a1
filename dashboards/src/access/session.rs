//! The login of the page: streams of events cannot carry a header in a browser, so it exchanges its key for a cookie.
//!
//! The cookie holds something that is made of the key and is none: it opens this API in a browser until the key ends, and
//! cannot be given as a key. No script can read it, and no other site can have it sent. Must never answer with a key.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Extension, Router,
    body::Bytes,
    extract::{ConnectInfo, DefaultBodyLimit, FromRequest, RawQuery, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use utoipa::ToSchema;

use super::{
    Gate,
    caller::{Caller, Tenants},
    key::Proof,
    refused,
    token::is_token,
};
use crate::{
    api::{
        parameters::Parameters,
        problem::{Kind, Problem},
        time_text,
    },
    limits,
};

/// Where it is served.
pub(crate) const PATH: &str = "/api/v1/session";

/// The cookie.
pub(crate) const COOKIE: &str = "meridian_session";
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What a request shows.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Presented {
    /// A key, or a session that was opened with one.
    Key(Proof),
    /// A token of an issuer.
    Token(String),
}

impl Presented {
    /// What is given in words; none when it has the shape of nothing.
    fn read(text: &str) -> Option<Self> {
        let key = Proof::of_key(text).map(Self::Key);
        key.or_else(|| is_token(text).then(|| Self::Token(text.to_owned())))
    }

    /// What a browser holds; none when it has the shape of nothing.
    fn of_cookie(text: &str) -> Option<Self> {
        let session = Proof::of_session(text).map(Self::Key);
        session.or_else(|| is_token(text).then(|| Self::Token(text.to_owned())))
    }

    /// What a browser holds from now on. A token ends by itself, and soon, so it may be held as it is.
    fn cookie(&self) -> String {
        match self {
            Self::Key(proof) => proof.session(),
            Self::Token(token) => token.clone(),
        }
    }
}

/// What the page asks for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    key: String,
}

/// Who asks, and what they may see.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Session {
    /// A name for people.
    name: String,
    /// The tenants to choose from; none: all there are.
    tenants: Option<Vec<String>>,
    /// What is allowed: `read`, `live`, `operate`.
    scopes: Vec<&'static str>,
    /// When it ends; none: when somebody ends it.
    expires: Option<String>,
    /// Whether a credential was needed.
    credential: bool,
}

pub(crate) fn router(gate: Arc<Gate>) -> Router {
    Router::new()
        .route(PATH, get(show).post(login).delete(logout))
        .layer(DefaultBodyLimit::max(limits::LOGIN_BYTES_MAX))
        .with_state(gate)
}

/// What a request shows; none where it shows nothing.
///
/// # Errors
/// When what it shows cannot be a credential of ours.
pub(crate) fn presented(headers: &HeaderMap) -> Result<Option<Presented>, Problem> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    if let Some(value) = given.next() {
        let text = value
            .to_str()
            .ok()
            .filter(|_| given.next().is_none())
            .ok_or_else(refused)?;
        let (scheme, token) = text.split_once(' ').ok_or_else(refused)?;
        let is_bearer = scheme.eq_ignore_ascii_case("bearer");
        return Presented::read(token.trim())
            .filter(|_| is_bearer)
            .map(Some)
            .ok_or_else(refused);
    }
    let cookies = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let mut sessions = cookies.flat_map(|list| list.split(';')).filter_map(|cookie| {
        let (name, value) = cookie.trim().split_once('=')?;
        (name == COOKIE).then_some(value)
    });
    match (sessions.next(), sessions.next()) {
        (None, _) => Ok(None),
        (Some(session), None) => Presented::of_cookie(session).map(Some).ok_or_else(refused),
        // A page of a neighbouring name may have planted the other.
        (Some(_), Some(_)) => Err(refused()),
    }
}

async fn show(
    caller: Option<Extension<Caller>>,
    problem: Option<Extension<Problem>>,
    RawQuery(query): RawQuery,
) -> Response {
    let Some(Extension(caller)) = caller else {
        return problem
            .map_or_else(super::missing, |Extension(problem)| problem)
            .into_response();
    };
    let parameters = Parameters::parse(caller.asks(query.as_deref()));
    match parameters.and_then(Parameters::finish) {
        Ok(()) => described(&caller).into_response(),
        Err(problem) => problem.into_response(),
    }
}

async fn login(
    State(gate): State<Arc<Gate>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let headers = request.headers().clone();
    let Ok(body) = timeout(limits::REQUEST_BODY_MAX, Bytes::from_request(request, &())).await else {
        let detail = "the body with the key did not arrive in time; send it again";
        return Problem::new(Kind::RequestTimeout, detail).into_response();
    };
    match open(&gate, &headers, &body.unwrap_or_default()).await {
        Ok((caller, session)) => {
            let lasts = caller
                .grant()
                .expires_ms
                .map(|expires_ms| (expires_ms - gate.clock.wall_ms()) / 1_000);
            let age = lasts.unwrap_or(i64::MAX).min(limits::SESSION_AGE_SECONDS);
            (cookie(&headers, &session, age), described(&caller)).into_response()
        }
        Err(problem) => {
            let counted = match problem.kind {
                Kind::CredentialRefused => gate.limiter.count_failure(gate.limiter.address(peer.ip(), &headers)),
                _ => Ok(()),
            };
            counted.err().unwrap_or(problem).into_response()
        }
    }
}

async fn open(gate: &Gate, headers: &HeaderMap, body: &[u8]) -> Result<(Caller, String), Problem> {
    // A form of another site can send text, and not this type.
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let is_json = content_type.is_some_and(|kind| {
        kind.split(';')
            .next()
            .is_some_and(|kind| kind.trim() == "application/json")
    });
    let login: Login = Some(body)
        .filter(|_| is_json)
        .and_then(|body| serde_json::from_slice(body).ok())
        .ok_or_else(|| Problem::parameter("key", "the body is not `{\"key\": \"mrd_…\"}` of type application/json"))?;
    let presented = Presented::read(login.key.trim()).ok_or_else(refused)?;
    let caller = gate.admit(&presented).await?;
    let cookie = presented.cookie();
    match cookie.len() <= limits::COOKIE_BYTES_MAX {
        true => Ok((caller, cookie)),
        false => Err(Problem::parameter(
            "key",
            "this token is too long for a cookie: 3 KiB at most",
        )),
    }
}

async fn logout(headers: HeaderMap) -> Response {
    (StatusCode::NO_CONTENT, cookie(&headers, "", 0)).into_response()
}

/// Whoever stands before us says whether the browser speaks TLS. A lie only harms who tells it.
fn cookie(request: &HeaderMap, session: &str, age_seconds: i64) -> [(HeaderName, HeaderValue); 2] {
    let is_tls = request
        .get(FORWARDED_PROTO)
        .is_some_and(|proto| proto.as_bytes().eq_ignore_ascii_case(b"https"));
    let secure = if is_tls { "; Secure" } else { "" };
    let text = format!("{COOKIE}={session}; Path=/; Max-Age={age_seconds}; HttpOnly; SameSite=Strict{secure}");
    let mut cookie = HeaderValue::from_str(&text).expect("digits and words are legal in headers");
    cookie.set_sensitive(true);
    [
        (header::SET_COOKIE, cookie),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ]
}

fn described(caller: &Caller) -> impl IntoResponse + use<> {
    let grant = caller.grant();
    let session = Session {
        name: grant.name.clone(),
        tenants: match &grant.tenants {
            Tenants::All => None,
            Tenants::These(own) => Some(own.iter().cloned().collect()),
        },
        scopes: grant.scopes.iter().map(|scope| scope.name()).collect(),
        expires: grant.expires_ms.map(time_text),
        credential: caller.is_known(),
    };
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, serde_json::to_vec(&session).expect("text is always JSON"))
}
