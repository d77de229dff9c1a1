//! The web server: what it is started with, what it serves where, and its pages and probes.

use std::{io, net::SocketAddr, sync::Arc};

use axum::{
    Extension, Router,
    extract::State,
    http::{
        HeaderMap, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE},
    },
    middleware,
    response::{Html, IntoResponse, Response},
    routing::get,
};
use clickhouse::Client;
use eventlog::Log;
use geocache::CellCache;
use platform::{
    health::{Health, Need},
    shutdown::Shutdown,
};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    StartPage,
    access::{
        self, Gate,
        caller::{Caller, Scope},
        limiter::{Limiter, RequestLimits},
        ring::KeyRing,
        session,
        token::{TokenSettings, Tokens},
    },
    api::{self, Api, turns::Class},
    connections, limits,
    live::{self, Live},
    metrics::DoorMetrics,
    tap::{self, Tappable},
};

/// The health component that says whether queries can be answered.
const QUERIES_COMPONENT: &str = "queries";

/// Why the web port could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on `{listen}` for the web side: {source}; free the port or choose another one")]
pub struct ServeError {
    listen: String,
    source: io::Error,
}

/// A running web server.
#[derive(Debug)]
pub struct WebServer {
    /// Where it listens: the real port when port 0 was asked for.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl WebServer {
    /// Waits until the server has stopped, which it does after shutdown was requested.
    pub async fn stopped(self) {
        if let Err(error) = self.task.await {
            tracing::error!(%error, "web server ended abnormally");
        }
    }
}

/// What is served beside answers to queries.
#[derive(Default)]
pub struct Site {
    /// What runs and where.
    pub start: StartPage,
    /// The log of this process, if it has one, to be tapped.
    pub log: Option<Log>,
    /// Tells what changes, for live streams; without it they read the store every few seconds.
    pub cache: Option<Arc<dyn CellCache>>,
    /// Who is let in, and how often.
    pub access: Access,
}

/// Who is let in, beside those who have a key, and how often.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Limits of credentials and addresses.
    pub limits: RequestLimits,
    /// Which tokens are believed, if any.
    pub tokens: Option<TokenSettings>,
}

/// What queries read.
#[derive(Clone, Debug)]
pub struct Queries {
    /// Knows server, user and database.
    pub client: Client,
    /// What rollups there are.
    pub levels: Vec<StoredLevel>,
}

/// A stored rollup level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredLevel {
    /// Length of a bucket, in seconds.
    pub period_seconds: u32,
    /// H3 resolution of its cells.
    pub resolution: u8,
    /// How long a change may wait before it is stored, in milliseconds.
    pub flush_interval_ms: u64,
}

impl StoredLevel {
    /// What it is told apart by: period in seconds and resolution.
    pub(crate) fn name(&self) -> (u32, u8) {
        (self.period_seconds, self.resolution)
    }
}

/// What answers are made of.
#[derive(Debug)]
pub(crate) struct Pages {
    start: StartPage,
    pub(crate) health: Health,
    pub(crate) tap: Option<Tappable>,
}

/// Listens on `listen` (`host:port`) and serves until shutdown.
///
/// # Errors
/// When the address cannot be bound.
pub async fn serve(
    listen: &str,
    queries: Queries,
    site: Site,
    health: Health,
    shutdown: Shutdown,
) -> Result<WebServer, ServeError> {
    let failed = |source| ServeError {
        listen: listen.to_owned(),
        source,
    };
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let Site {
        mut start,
        log,
        cache,
        access,
    } = site;
    let tap = log.map(|log| Tappable::new(log, shutdown.clone()));
    start.set_map(match crate::assets::are_built() {
        true => crate::page::Map::Here,
        false => crate::page::Map::NotBuilt,
    });
    let ring = Arc::new(KeyRing::new(queries.client.clone()));
    // So that the first request finds the door as it is. Where there is no answer, it is closed until there is one.
    let _ = ring.refresh().await;
    tokio::spawn(ring.clone().keep(shutdown.clone()));
    let gate = Arc::new(Gate {
        ring,
        metrics: DoorMetrics::new(),
        limiter: Limiter::new(&access.limits, health.clock()),
        tokens: access.tokens.map(|settings| Tokens::new(settings, health.clock())),
        is_loopback: address.ip().to_canonical().is_loopback(),
        clock: health.clock(),
    });
    {
        let (gate, shutdown) = (gate.clone(), shutdown.clone());
        tokio::spawn(async move {
            let Some(tokens) = &gate.tokens else { return };
            loop {
                tokens.refresh_when_due().await;
                tokio::select! {
                    () = shutdown.requested() => return,
                    () = tokio::time::sleep(limits::ISSUER_KEYS_PAUSE) => {}
                }
            }
        });
    }
    let api = Arc::new(Api::new(queries, health.clock()));
    let component = health.component(QUERIES_COMPONENT, Need::Required);
    tokio::spawn(api.store().watch(component, shutdown.clone()));
    let live = Live::start(api.of(Class::Live, ""), cache, shutdown.clone());
    let router = router(Pages { start, health, tap }, api, live, gate.clone());
    let task = tokio::spawn(connections::serve(listener, router, gate, shutdown));
    Ok(WebServer { address, task })
}

fn router(pages: Pages, api: Arc<Api>, live: Arc<Live>, gate: Arc<Gate>) -> Router {
    let pages = Router::new()
        .route("/", get(dashboard))
        .route("/status", get(start_page))
        .route(crate::assets::PATH, get(crate::assets::answer))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route(tap::PATH, get(tap::answer))
        .with_state(Arc::new(pages));
    pages
        .merge(api::router(api))
        .merge(live::router(live))
        .merge(session::router(gate.clone()))
        .fallback(api::not_found)
        .method_not_allowed_fallback(api::method_not_allowed)
        // Last, so that it stands before all of them.
        .layer(middleware::from_fn_with_state(gate, access::guard))
}

/// The map, where there is something to show on it; else what runs, and how to get the map.
async fn dashboard(pages: State<Arc<Pages>>, caller: Option<Extension<Caller>>, request: HeaderMap) -> Response {
    match crate::assets::index(&request) {
        Some(map) if pages.start.has_map() => return map,
        _ => {}
    }
    match caller.map(|Extension(caller)| caller.check(Scope::Operate)) {
        Some(Ok(())) => start_page(pages).await.into_response(),
        Some(Err(problem)) => problem.into_response(),
        None => access::missing().into_response(),
    }
}

async fn start_page(State(pages): State<Arc<Pages>>) -> impl IntoResponse {
    let html = pages.start.render(&pages.health.report());
    ([(CACHE_CONTROL, "no-store")], Html(html))
}

/// Live means that this answer arrives: a process that is merely unready must not be restarted for it.
async fn healthz(State(pages): State<Arc<Pages>>, caller: Option<Extension<Caller>>) -> impl IntoResponse {
    probe(StatusCode::OK, &pages.health, caller)
}

async fn readyz(State(pages): State<Arc<Pages>>, caller: Option<Extension<Caller>>) -> impl IntoResponse {
    let status = if pages.health.report().is_ready() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    probe(status, &pages.health, caller)
}

/// A probe that is answered from a cache says nothing. What the parts say is for who may know it: addresses are in it.
fn probe(status: StatusCode, health: &Health, caller: Option<Extension<Caller>>) -> impl IntoResponse + use<> {
    let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")];
    let report = health.report();
    let may_know = caller.is_some_and(|Extension(caller)| caller.check(Scope::Operate).is_ok());
    let text = match may_know {
        true => report.to_json(),
        false => format!("{{\"ready\":{}}}", report.is_ready()),
    };
    (status, headers, text)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http_body_util::BodyExt;
    use hyper_util::{client::legacy::Client, rt::TokioExecutor};
    use platform::clock::ManualClock;

    use super::*;

    async fn ask(address: SocketAddr, path: &str) -> (u16, String) {
        let client: Client<_, Body> = Client::builder(TokioExecutor::new()).build_http();
        let url = format!("http://{address}{path}").parse().unwrap();
        let response = client.get(url).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    /// Queries of a store where nobody listens.
    fn nowhere() -> Queries {
        Queries {
            client: clickhouse::Client::default().with_url("http://127.0.0.1:1"),
            levels: Vec::new(),
        }
    }

    #[tokio::test]
    async fn probes_tell_live_from_ready() {
        let health = Health::new(Arc::new(ManualClock::at(0)));
        let (trigger, shutdown) = Shutdown::new();
        let server = serve("127.0.0.1:0", nowhere(), Site::default(), health, shutdown);
        let server = server.await.unwrap();
        assert_eq!(ask(server.address, "/healthz").await.0, 200);
        let (status, body) = ask(server.address, "/readyz").await;
        assert_eq!(status, 503, "there is no store to ask");
        assert!(body.contains("\"ready\":false"), "{body}");
        let (status, body) = ask(server.address, "/").await;
        // The map is for everybody, where it is part of the build.
        let is_map = status == 200 && body.contains("<title>Meridian</title>");
        assert_eq!(is_map, crate::assets::are_built(), "{status} {body}");
        assert_eq!(
            ask(server.address, "/status").await.0,
            503,
            "who may see it is not known"
        );
        trigger.request();
        server.stopped().await;
    }

    #[tokio::test]
    async fn a_taken_port_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let listen = taken.local_addr().unwrap().to_string();
        let health = Health::new(Arc::new(ManualClock::at(0)));
        let (_trigger, shutdown) = Shutdown::new();
        let refused = serve(&listen, nowhere(), Site::default(), health, shutdown).await;
        let refusal = refused.unwrap_err();
        assert!(refusal.to_string().contains(&listen), "{refusal}");
    }
}
