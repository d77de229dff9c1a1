//! Listens, answers, and stops when asked.

use std::{io, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::State,
    http::{
        StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE},
    },
    response::{Html, IntoResponse},
    routing::get,
};
use eventlog::Log;
use platform::{health::Health, shutdown::Shutdown};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    StartPage, limits,
    tap::{self, Tappable},
};

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

/// What is served.
#[derive(Debug, Default)]
pub struct Site {
    /// What runs and where.
    pub start: StartPage,
    /// The log of this process, if it has one, to be tapped.
    pub log: Option<Log>,
}

/// What answers are made of.
#[derive(Debug)]
pub(crate) struct Pages {
    start: StartPage,
    health: Health,
    pub(crate) tap: Option<Tappable>,
}

/// Listens on `listen` (`host:port`) and serves until shutdown.
///
/// # Errors
/// When the address cannot be bound.
pub async fn serve(listen: &str, site: Site, health: Health, shutdown: Shutdown) -> Result<WebServer, ServeError> {
    let failed = |source| ServeError {
        listen: listen.to_owned(),
        source,
    };
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let Site { start, log } = site;
    let tap = log.map(|log| Tappable::new(log, shutdown.clone()));
    let router = router(Pages { start, health, tap });
    let task = tokio::spawn(run(listener, router, shutdown));
    Ok(WebServer { address, task })
}

fn router(pages: Pages) -> Router {
    Router::new()
        .route("/", get(start_page))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route(tap::PATH, get(tap::answer))
        .with_state(Arc::new(pages))
}

async fn run(listener: TcpListener, router: Router, shutdown: Shutdown) {
    let stopping = shutdown.clone();
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let serving = axum::serve(listener, service).with_graceful_shutdown(async move { stopping.requested().await });
    let overdue = async {
        shutdown.requested().await;
        tokio::time::sleep(limits::DRAIN_MAX).await;
    };
    tokio::select! {
        ended = serving => {
            if let Err(error) = ended {
                tracing::error!(%error, "web server failed");
            }
        }
        () = overdue => tracing::debug!("web connections were still open at shutdown"),
    }
}

async fn start_page(State(pages): State<Arc<Pages>>) -> impl IntoResponse {
    let html = pages.start.render(&pages.health.report());
    ([(CACHE_CONTROL, "no-store")], Html(html))
}

/// Live means that this answer arrives: a process that is merely unready must not be restarted for it.
async fn healthz(State(pages): State<Arc<Pages>>) -> impl IntoResponse {
    probe(StatusCode::OK, &pages.health)
}

async fn readyz(State(pages): State<Arc<Pages>>) -> impl IntoResponse {
    let status = if pages.health.report().is_ready() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    probe(status, &pages.health)
}

/// A probe that is answered from a cache says nothing.
fn probe(status: StatusCode, health: &Health) -> impl IntoResponse + use<> {
    let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")];
    (status, headers, health.report().to_json())
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http_body_util::BodyExt;
    use hyper_util::{client::legacy::Client, rt::TokioExecutor};
    use platform::{clock::ManualClock, health::Need};

    use super::*;

    async fn ask(address: SocketAddr, path: &str) -> (u16, String) {
        let client: Client<_, Body> = Client::builder(TokioExecutor::new()).build_http();
        let url = format!("http://{address}{path}").parse().unwrap();
        let response = client.get(url).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn probes_tell_live_from_ready() {
        let health = Health::new(Arc::new(ManualClock::at(0)));
        let component = health.component("process", Need::Required);
        let (trigger, shutdown) = Shutdown::new();
        let server = serve("127.0.0.1:0", Site::default(), health, shutdown).await.unwrap();
        assert_eq!(ask(server.address, "/healthz").await.0, 200);
        let (status, body) = ask(server.address, "/readyz").await;
        assert_eq!(status, 503);
        assert!(body.contains("\"ready\":false"), "{body}");
        component.ready();
        assert_eq!(ask(server.address, "/readyz").await.0, 200);
        let (status, body) = ask(server.address, "/").await;
        assert!(status == 200 && body.contains("<h1>Meridian</h1>"), "{body}");
        assert_eq!(ask(server.address, "/other").await.0, 404);
        trigger.request();
        server.stopped().await;
    }

    #[tokio::test]
    async fn a_taken_port_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let listen = taken.local_addr().unwrap().to_string();
        let health = Health::new(Arc::new(ManualClock::at(0)));
        let (_trigger, shutdown) = Shutdown::new();
        let refusal = serve(&listen, Site::default(), health, shutdown).await.unwrap_err();
        assert!(refusal.to_string().contains(&listen), "{refusal}");
    }
}
