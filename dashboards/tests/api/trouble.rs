//! ClickHouse away, and clients that dawdle.

use std::time::{Duration, Instant};

use clickhouse::Client;
use dashboards::limits;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    time::timeout,
};

use crate::{fleet::HOUR, rig::Api, wide::fill};

#[tokio::test(flavor = "multi_thread")]
async fn without_clickhouse_queries_say_so_and_when_to_come_again() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let api = Api::over(Client::default().with_url(format!("http://{address}"))).await;
    for path in [
        "/api/v1/cells?metric=speed",
        "/api/v1/series?metric=speed",
        "/api/v1/devices",
        "/api/v1/devices/a/b",
        "/api/v1/devices/a/b/track",
        "/api/v1/nearby?lat=0&lon=0",
        "/api/v1/metrics-catalog",
    ] {
        let answer = api.get(path).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, "2"), "{path}");
        assert_eq!(
            answer.json()["type"],
            "urn:meridian:problem:store-unavailable",
            "{path}"
        );
    }
    assert_eq!(api.get("/healthz").await.status, 200);
    assert_eq!(api.get("/readyz").await.status, 503);
    assert_eq!(api.get("/api/openapi.json").await.status, 200);
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_tables_the_answer_names_the_command_that_makes_them() {
    let api = Api::start("api_schema").await;
    api.execute("DROP VIEW devices").await;
    let answer = api.get("/api/v1/devices").await;
    assert_eq!(answer.status, 503);
    assert!(answer.json()["detail"].as_str().unwrap().contains("`meridian migrate`"));
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_asks_too_much_is_told_so() {
    let api = Api::start("api_too_much").await;
    api.execute("INSERT INTO measurement_log (tenant, metric, device) VALUES ('acme', 'speed', 'a')")
        .await;
    let narrow = Api::over(api.store.clone().with_setting("max_bytes_to_read", "1")).await;
    let answer = narrow.get("/api/v1/metrics-catalog").await;
    assert_eq!(
        (answer.status, answer.json()["type"].as_str()),
        (422, Some("urn:meridian:problem:too-large"))
    );
    assert_eq!(api.get("/api/v1/metrics-catalog").await.status, 200);
    narrow.stop().await;
    api.stop().await;
}

/// Takes connections, says that nobody ever made a key, and nothing else.
async fn deaf_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut question = vec![0; 8_192];
            let mut length = 0;
            // The question ends when no more comes.
            while let Ok(Ok(read @ 1..)) =
                timeout(Duration::from_millis(100), stream.read(&mut question[length..])).await
            {
                length += read;
            }
            if String::from_utf8_lossy(&question[..length]).contains("api_key_log") {
                let text = "Code: 60. DB::Exception: there is no such table. (UNKNOWN_TABLE)";
                let head = format!(
                    "HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                    text.len()
                );
                stream.write_all(format!("{head}{text}").as_bytes()).await.unwrap();
                continue;
            }
            held.push(stream);
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deaf_store_costs_bounded_time_and_those_who_queue_are_turned_away() {
    let api = Api::over(Client::default().with_url(deaf_server().await)).await;
    let started = Instant::now();
    let requests = (0..limits::TENANT_QUERIES_MAX + 4).map(|_| api.get("/api/v1/metrics-catalog"));
    let answers = futures::future::join_all(requests).await;
    let with = |status: u16| {
        answers
            .iter()
            .filter(|answer| answer.status == status && answer.header("retry-after") == "2")
            .count()
    };
    assert_eq!((with(429), with(503)), (4, limits::TENANT_QUERIES_MAX));
    let longest = limits::QUEUE_WAIT_MAX + limits::ANSWER_WAIT_MAX + Duration::from_secs(5);
    assert!(started.elapsed() < longest, "{:?}", started.elapsed());
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_request_does_not_hold_a_connection() {
    let api = Api::start("api_slow").await;
    let mut stream = TcpStream::connect(api.server.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n").await.unwrap();
    let started = Instant::now();
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "the connection is still open");
    assert!(started.elapsed() >= Duration::from_secs(5), "an honest client has time");
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_body_does_not_hold_a_connection() {
    let api = Api::start("api_half_body").await;
    let mut stream = TcpStream::connect(api.server.address).await.unwrap();
    let head =
        "POST /api/v1/session HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9";
    stream.write_all(format!("{head}\r\n\r\n{{").as_bytes()).await.unwrap();
    let mut answer = String::new();
    let ended = timeout(Duration::from_secs(30), stream.read_to_string(&mut answer)).await;
    assert!(ended.is_ok(), "the connection is still open: {answer}");
    assert!(
        answer.starts_with("HTTP/1.1 408 ") && answer.contains("request-timeout"),
        "{answer}"
    );
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_nobody_reads_is_not_kept() {
    let api = Api::start("api_unread").await;
    fill(&api, (-10.0, -10.0, 10.0, 10.0), 0.15).await;
    let path = format!(
        "/api/v1/cells?tenant=acme&metric=speed&res=9&from={HOUR}000&to={}000&format=geojson",
        HOUR + 60
    );
    let whole = api.get(&path).await.body.len();
    assert!(whole > 5_000_000, "more than what waits in sockets: {whole}");
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(api.server.address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    tokio::time::sleep(limits::UNREAD_ANSWER_MAX + Duration::from_secs(5)).await;
    let mut read = Vec::new();
    // It may end in a reset.
    let _ = stream.read_to_end(&mut read).await;
    assert!(!read.is_empty() && read.len() < whole, "{} of {whole}", read.len());
    api.stop().await;
}
