//! `/metrics`, `/healthz` and `/readyz` over HTTP, on a port of their own.
//!
//! Serves strangers on the network, so everything about a connection is bounded: how many, how long, how large. It
//! never reads a request body and never writes to anything.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc};

use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::{JoinHandle, JoinSet},
};

use super::Metrics;
use crate::{
    browsers,
    health::Health,
    limits::{
        METRICS_ACCEPT_PAUSE, METRICS_CONNECTION_AGE_MAX, METRICS_CONNECTIONS_MAX, METRICS_DRAIN_MAX,
        METRICS_HEADER_BYTES_MAX, METRICS_HEADER_READ_MAX, METRICS_UPKEEP_INTERVAL,
    },
    shutdown::Shutdown,
};

const PROMETHEUS_TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
const PLAIN_TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Why the metrics port could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on `{listen}` for metrics: {source}; free the port or choose another one (0 for any free one)")]
pub struct ServeError {
    listen: String,
    source: io::Error,
}

/// A running metrics server.
#[derive(Debug)]
pub struct MetricsServer {
    /// Where it listens: the real port when port 0 was asked for.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl MetricsServer {
    /// Waits until the server has stopped, which it does after shutdown was requested.
    pub async fn stopped(self) {
        if let Err(error) = self.task.await {
            tracing::error!(%error, "metrics server ended abnormally");
        }
    }
}

/// Listens on `listen` (`host:port`) and serves until shutdown.
///
/// # Errors
/// When the address cannot be bound.
pub async fn serve(
    listen: &str,
    metrics: Metrics,
    health: Health,
    shutdown: Shutdown,
) -> Result<MetricsServer, ServeError> {
    let failed = |source| ServeError {
        listen: listen.to_owned(),
        source,
    };
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let pages = Pages {
        metrics,
        health,
        is_loopback: address.ip().to_canonical().is_loopback(),
    };
    let task = tokio::spawn(run(listener, pages, shutdown));
    Ok(MetricsServer { address, task })
}

/// What can be asked for.
#[derive(Clone, Debug)]
struct Pages {
    metrics: Metrics,
    health: Health,
    /// It listens to this machine only: names of tenants are in the metrics, and no page of another site may read them.
    is_loopback: bool,
}

impl Pages {
    fn answer(&self, method: &Method, path: &str, headers: &HeaderMap) -> Response<String> {
        if self.is_loopback && browsers::is_for_another_machine(headers) {
            let text = "this port is answered under the name localhost, 127.0.0.1 or [::1] only\n".to_owned();
            return page(StatusCode::MISDIRECTED_REQUEST, PLAIN_TEXT, text);
        }
        if method != Method::GET && method != Method::HEAD {
            let text = "only GET and HEAD are served here\n".to_owned();
            let mut refusal = page(StatusCode::METHOD_NOT_ALLOWED, PLAIN_TEXT, text);
            refusal
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refusal;
        }
        match path {
            "/metrics" => page(StatusCode::OK, PROMETHEUS_TEXT, self.metrics.render()),
            // Live means that this answer arrives: a process that is merely unready must not be restarted for it.
            "/healthz" => page(StatusCode::OK, JSON, self.health.report().to_json()),
            "/readyz" => {
                let report = self.health.report();
                let status = if report.is_ready() {
                    StatusCode::OK
                } else {
                    StatusCode::SERVICE_UNAVAILABLE
                };
                page(status, JSON, report.to_json())
            }
            _ => {
                let text = "not found; there are /metrics, /healthz and /readyz\n".to_owned();
                page(StatusCode::NOT_FOUND, PLAIN_TEXT, text)
            }
        }
    }
}

fn page(status: StatusCode, content_type: HeaderValue, body: String) -> Response<String> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    // A probe that is answered from a cache says nothing.
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn run(listener: TcpListener, pages: Pages, shutdown: Shutdown) {
    let places = Arc::new(Semaphore::new(METRICS_CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    let mut upkeep = tokio::time::interval(METRICS_UPKEEP_INTERVAL);
    loop {
        tokio::select! {
            () = shutdown.requested() => break,
            _ = upkeep.tick() => pages.metrics.run_upkeep(),
            Some(_) = connections.join_next() => {}
            (stream, place) = accept(&listener, &places) => {
                connections.spawn(serve_connection(stream, place, pages.clone(), shutdown.clone()));
            }
        }
    }
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(METRICS_DRAIN_MAX, drained).await.is_err() {
        tracing::debug!("metrics connections were still open at shutdown");
    }
}

/// The next connection, once there is a place for it: those who come before wait in the backlog. Safe to drop at any
/// point.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> (TcpStream, OwnedSemaphorePermit) {
    let place = places
        .clone()
        .acquire_owned()
        .await
        .expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, _peer)) => return (stream, place),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection on the metrics port");
                tokio::time::sleep(METRICS_ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve_connection(stream: TcpStream, place: OwnedSemaphorePermit, pages: Pages, shutdown: Shutdown) {
    let service = service_fn(|request: Request<Incoming>| {
        let response = pages.answer(request.method(), request.uri().path(), request.headers());
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(METRICS_HEADER_READ_MAX)
        .max_buf_size(METRICS_HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let served = async {
        tokio::select! {
            result = connection.as_mut() => result,
            () = shutdown.requested() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    };
    match tokio::time::timeout(METRICS_CONNECTION_AGE_MAX, served).await {
        Ok(Ok(())) => {}
        // Clients that break off, dawdle or talk nonsense are their own problem.
        Ok(Err(error)) => tracing::debug!(%error, "metrics connection ended"),
        Err(_elapsed) => tracing::debug!("metrics connection closed at its greatest age"),
    }
    drop(place);
}

#[cfg(test)]
mod tests;
