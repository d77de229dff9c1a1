//! What the metrics port promises, over real connections.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{MetricsServer, serve};
use crate::{
    clock::ManualClock,
    health::{Health, Need},
    limits::{METRICS_CONNECTIONS_MAX, METRICS_HEADER_READ_MAX},
    shutdown::{Shutdown, ShutdownTrigger},
    telemetry::{MetricSpec, MetricUnit, Metrics},
};

const TEST_TOTAL: MetricSpec =
    MetricSpec::new_counter("meridian_test_served_total", MetricUnit::Count, "Counted by a test.");

struct Setup {
    server: MetricsServer,
    health: Health,
    trigger: ShutdownTrigger,
}

async fn start() -> Setup {
    let (recorder, metrics) = Metrics::build(&[&[TEST_TOTAL]]).unwrap();
    metrics::with_local_recorder(&recorder, || TEST_TOTAL.counter(&[]).increment(3));
    let health = Health::new(Arc::new(ManualClock::at(0)));
    let (trigger, shutdown) = Shutdown::new();
    let server = serve("127.0.0.1:0", metrics, health.clone(), shutdown).await.unwrap();
    Setup {
        server,
        health,
        trigger,
    }
}

/// Sends a request head and reads until the server closes.
async fn exchange(address: SocketAddr, head: &str) -> String {
    let head = head.to_owned();
    tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    })
    .await
    .unwrap()
}

async fn get(address: SocketAddr, path: &str) -> String {
    exchange(
        address,
        &format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"),
    )
    .await
}

#[tokio::test]
async fn metrics_are_served_as_prometheus_text() {
    let setup = start().await;
    let answer = get(setup.server.address, "/metrics").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.contains("content-type: text/plain; version=0.0.4"), "{answer}");
    assert!(answer.contains("\nmeridian_test_served_total 3\n"), "{answer}");
    assert!(answer.contains("\nprocess_resident_memory_bytes "), "{answer}");
}

#[tokio::test]
async fn readiness_follows_health_and_liveness_does_not() {
    let setup = start().await;
    let address = setup.server.address;
    let store = setup.health.component("store", Need::Required);
    assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 503"));
    store.ready();
    assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 200"));
    store.failed("connection refused");
    let unready = get(address, "/readyz").await;
    assert!(
        unready.starts_with("HTTP/1.1 503") && unready.contains("connection refused"),
        "{unready}"
    );
    assert!(get(address, "/healthz").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn other_paths_and_methods_are_refused() {
    let setup = start().await;
    let address = setup.server.address;
    assert!(get(address, "/").await.starts_with("HTTP/1.1 404"));
    let post = "POST /metrics HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let answer = exchange(address, post).await;
    assert!(
        answer.starts_with("HTTP/1.1 405") && answer.contains("allow: GET, HEAD"),
        "{answer}"
    );
    // A page of another site whose name was made to point here.
    let rebound = "GET /metrics HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n";
    assert!(exchange(address, rebound).await.starts_with("HTTP/1.1 421"));
    let nameless = exchange(address, "GET /healthz HTTP/1.0\r\n\r\n").await;
    assert!(nameless.starts_with("HTTP/1.0 200"), "{nameless}");
}

#[tokio::test]
async fn clients_that_send_no_request_lose_their_place() {
    let setup = start().await;
    let address = setup.server.address;
    let started = Instant::now();
    let silent: Vec<TcpStream> = (0..METRICS_CONNECTIONS_MAX)
        .map(|_| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(b"GET /metrics HTTP/1.1\r\n").unwrap();
            stream
        })
        .collect();
    let answer = get(address, "/metrics").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let waited = started.elapsed();
    assert!(
        waited >= METRICS_HEADER_READ_MAX - Duration::from_millis(500),
        "all places were taken, yet it was answered after {waited:?}"
    );
    drop(silent);
}

#[tokio::test]
async fn shutdown_closes_the_port_even_with_idle_connections() {
    let setup = start().await;
    let address = setup.server.address;
    let idle = TcpStream::connect(address).unwrap();
    get(address, "/healthz").await;

    setup.trigger.request();
    let stopped = tokio::time::timeout(Duration::from_secs(10), setup.server.stopped());
    stopped.await.expect("stops within its drain time");
    assert!(TcpStream::connect(address).is_err(), "the port is closed");
    drop(idle);
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let setup = start().await;
    let listen = setup.server.address.to_string();
    let (_recorder, metrics) = Metrics::build(&[]).unwrap();
    let (_trigger, shutdown) = Shutdown::new();
    let error = serve(&listen, metrics, setup.health.clone(), shutdown)
        .await
        .unwrap_err();
    assert!(error.to_string().contains(&listen), "{error}");
}
