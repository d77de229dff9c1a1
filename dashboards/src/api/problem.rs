//! What a client is told when it does not get what it asked for: RFC 9457 problem documents with stable types.
//!
//! Never says anything about another tenant, nor repeats an error of ClickHouse, which may quote its data.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::limits::RETRY_AFTER_SECONDS;

/// What went wrong. The variants are the stable part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    InvalidParameter,
    CredentialMissing,
    CredentialRefused,
    ScopeMissing,
    HostRefused,
    SiteRefused,
    RateLimited,
    NotFound,
    MethodNotAllowed,
    RequestTimeout,
    TooLarge,
    Busy,
    Unavailable,
    NotLive,
    Crowded,
    ShareTaken,
    Internal,
}

impl Kind {
    fn parts(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::InvalidParameter => (
                "urn:meridian:problem:invalid-parameter",
                StatusCode::BAD_REQUEST,
                "A parameter cannot be used",
            ),
            Self::CredentialMissing => (
                "urn:meridian:problem:credential-missing",
                StatusCode::UNAUTHORIZED,
                "Say who you are",
            ),
            Self::CredentialRefused => (
                "urn:meridian:problem:credential-refused",
                StatusCode::UNAUTHORIZED,
                "This credential opens nothing",
            ),
            Self::ScopeMissing => (
                "urn:meridian:problem:scope-missing",
                StatusCode::FORBIDDEN,
                "This credential does not allow that",
            ),
            Self::HostRefused => (
                "urn:meridian:problem:host-refused",
                StatusCode::FORBIDDEN,
                "Nothing is answered under this name",
            ),
            Self::SiteRefused => (
                "urn:meridian:problem:site-refused",
                StatusCode::FORBIDDEN,
                "Other sites may not ask this",
            ),
            Self::RateLimited => (
                "urn:meridian:problem:rate-limited",
                StatusCode::TOO_MANY_REQUESTS,
                "Too many requests",
            ),
            Self::NotFound => (
                "urn:meridian:problem:not-found",
                StatusCode::NOT_FOUND,
                "There is no such thing",
            ),
            Self::MethodNotAllowed => (
                "urn:meridian:problem:method-not-allowed",
                StatusCode::METHOD_NOT_ALLOWED,
                "This can only be read",
            ),
            Self::RequestTimeout => (
                "urn:meridian:problem:request-timeout",
                StatusCode::REQUEST_TIMEOUT,
                "The request did not arrive in time",
            ),
            Self::TooLarge => (
                "urn:meridian:problem:too-large",
                StatusCode::UNPROCESSABLE_ENTITY,
                "The answer would take too much work",
            ),
            Self::Busy => (
                "urn:meridian:problem:busy",
                StatusCode::TOO_MANY_REQUESTS,
                "Too many queries at once",
            ),
            Self::Unavailable => (
                "urn:meridian:problem:store-unavailable",
                StatusCode::SERVICE_UNAVAILABLE,
                "The store does not answer",
            ),
            Self::NotLive => (
                "urn:meridian:problem:not-live",
                StatusCode::UNPROCESSABLE_ENTITY,
                "This is not streamed",
            ),
            Self::Crowded => (
                "urn:meridian:problem:too-many-streams",
                StatusCode::SERVICE_UNAVAILABLE,
                "All live streams are taken",
            ),
            Self::ShareTaken => (
                "urn:meridian:problem:streams-used-up",
                StatusCode::TOO_MANY_REQUESTS,
                "Your live streams are used up",
            ),
            Self::Internal => (
                "urn:meridian:problem:internal",
                StatusCode::INTERNAL_SERVER_ERROR,
                "Something failed here",
            ),
        }
    }
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) kind: Kind,
    pub(crate) detail: String,
    pub(crate) parameter: Option<String>,
    /// When to come again, where that is known better than by habit.
    pub(crate) retry_after_seconds: Option<u32>,
}

/// A problem document as RFC 9457 has it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemDocument {
    /// Stable name of the kind of problem.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The kind in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What is wrong this time, and what to do.
    detail: String,
    /// The parameter at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<String>,
}

impl Problem {
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            parameter: None,
            retry_after_seconds: None,
        }
    }

    /// Whether it is that somebody did not say who they are, and nothing else.
    pub(crate) fn is_about_credentials(&self) -> bool {
        matches!(
            self.kind,
            Kind::CredentialMissing | Kind::CredentialRefused | Kind::ScopeMissing | Kind::Unavailable
        )
    }

    /// The parameter cannot be used, and why.
    pub(crate) fn parameter(name: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: Kind::InvalidParameter,
            detail: detail.into(),
            parameter: Some(name.to_owned()),
            retry_after_seconds: None,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (kind, status, title) = self.kind.parts();
        let document = ProblemDocument {
            kind,
            title,
            status: status.as_u16(),
            detail: self.detail,
            parameter: self.parameter,
        };
        let body = serde_json::to_vec(&document).expect("text and numbers are always JSON");
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let challenge = match self.kind {
            Kind::CredentialMissing => Some("Bearer realm=\"meridian\""),
            Kind::CredentialRefused => Some("Bearer realm=\"meridian\", error=\"invalid_token\""),
            Kind::ScopeMissing => Some("Bearer realm=\"meridian\", error=\"insufficient_scope\""),
            _ => None,
        };
        if let Some(challenge) = challenge {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        let is_for_now = matches!(
            self.kind,
            Kind::Busy | Kind::Unavailable | Kind::Crowded | Kind::ShareTaken | Kind::RateLimited
        );
        if is_for_now {
            let seconds = self.retry_after_seconds.unwrap_or(RETRY_AFTER_SECONDS);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
