//! Tokens of an issuer, over HTTP: its keys are fetched, and what a token says decides the tenant.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{Router, body::Body, routing::get};
use dashboards::{Access, KeySource, Signing, Site, TokenSettings};
use hyper::Request;
use hyper_util::{client::legacy, rt::TokioExecutor};
use platform::config::Url;
use ring::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::rig::Api;

/// Base64 as tokens have it.
fn encoded(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let number = chunk.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            text.push(LETTERS[(number >> (18 - 6 * place) & 63) as usize] as char);
        }
    }
    text
}

/// Publishes its key over HTTP and counts who asks for it.
struct Issuer {
    pair: Arc<Ed25519KeyPair>,
    url: String,
    asked: Arc<AtomicUsize>,
}

impl Issuer {
    async fn start() -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Arc::new(Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let key = json!({"kty": "OKP", "crv": "Ed25519", "kid": "1", "x": encoded(pair.public_key().as_ref())});
        let text = json!({"keys": [key]}).to_string();
        let counter = asked.clone();
        let page = get(move || async move {
            counter.fetch_add(1, Ordering::SeqCst);
            text
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/keys", page)).await });
        Self { pair, url, asked }
    }

    fn token(&self, tenant: Value, lifetime_seconds: i64) -> String {
        let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
        let claims = json!({
            "iss": "https://issuer.example", "aud": ["meridian"], "exp": now + lifetime_seconds, "sub": "somebody",
            "tenant": tenant, "scope": "read live",
        });
        let header = json!({"alg": "EdDSA", "kid": "1"});
        let message = format!(
            "{}.{}",
            encoded(header.to_string().as_bytes()),
            encoded(claims.to_string().as_bytes())
        );
        format!("{message}.{}", encoded(self.pair.sign(message.as_bytes()).as_ref()))
    }

    fn site(&self) -> Site {
        let tokens = TokenSettings {
            keys: KeySource::Url(Url::parse(&self.url, &["http"]).unwrap()),
            ca_file: None,
            issuer: "https://issuer.example".to_owned(),
            audience: "meridian".to_owned(),
            signings: vec![Signing::EdDsa],
            tenant_claim: "tenant".to_owned(),
            scope_claim: Some("scope".to_owned()),
        };
        Site {
            access: Access {
                tokens: Some(tokens),
                ..Access::default()
            },
            ..Site::default()
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_its_tenants_and_the_issuer_is_asked_once() {
    let issuer = Issuer::start().await;
    // With an issuer, this machine needs a credential as well.
    let store = Api::store("tokens").await;
    let api = Api::listening("127.0.0.1:0", store, issuer.site()).await;
    assert_eq!(api.get("/api/v1/devices").await.status, 401);
    let acme = issuer.token(json!("acme"), 600);
    for _ in 0..20 {
        assert_eq!(api.get_as(&acme, "/api/v1/devices").await.status, 200);
    }
    assert_eq!(issuer.asked.load(Ordering::SeqCst), 1);
    assert_eq!(api.get_as(&acme, "/api/v1/devices?tenant=beta").await.status, 404);
    assert_eq!(api.get_as(&acme, "/api/v1/devices/beta/a").await.status, 404);
    assert_eq!(api.get_as(&acme, "/status").await.status, 403);
    let both = issuer.token(json!(["acme", "beta"]), 600);
    assert_eq!(api.get_as(&both, "/api/v1/devices?tenant=beta").await.status, 200);
    let over = api.get_as(&issuer.token(json!("acme"), -120), "/api/v1/devices").await;
    assert!(over.status == 401 && over.json()["detail"].as_str().unwrap().contains("expired"));
    let mut forged = acme.clone();
    forged.replace_range(
        forged.len() - 10..forged.len() - 9,
        if &forged[forged.len() - 10..forged.len() - 9] == "A" {
            "B"
        } else {
            "A"
        },
    );
    assert_eq!(api.get_as(&forged, "/api/v1/devices").await.status, 401);

    // The page logs in with it, too.
    let client: legacy::Client<_, Body> = legacy::Client::builder(TokioExecutor::new()).build_http();
    let url = format!("http://{}/api/v1/session", api.server.address);
    let login = Request::post(url).header("content-type", "application/json");
    let response = client
        .request(login.body(Body::from(json!({"key": acme}).to_string())).unwrap())
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    let cookie = response.headers()["set-cookie"].to_str().unwrap().to_owned();
    let age: i64 = cookie
        .split("Max-Age=")
        .nth(1)
        .unwrap()
        .split(';')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert!((600..=661).contains(&age), "{cookie}");
    let session = cookie.split(';').next().unwrap();
    assert_eq!(
        api.get_with("/api/v1/devices", &[("cookie", session)]).await.status,
        200
    );
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_issuer_is_away_a_token_is_neither_good_nor_bad() {
    let issuer = Issuer::start().await;
    let mut site = issuer.site();
    let nowhere = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    if let Some(tokens) = &mut site.access.tokens {
        tokens.keys = KeySource::Url(Url::parse(&format!("http://{nowhere}/keys"), &["http"]).unwrap());
    }
    let api = Api::listening("0.0.0.0:0", Api::store("tokens_away").await, site).await;
    let answer = api.get_as(&issuer.token(json!("acme"), 600), "/api/v1/devices").await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "2"));
    // Keys go on.
    let key = api.key(&["acme"], &["read"]).await;
    assert_eq!(api.get_as(&key, "/api/v1/devices").await.status, 200);
    api.stop().await;
}
