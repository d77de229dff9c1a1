//! Results: joined into one document, streamed with bounded memory, broken off so that everyone notices.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use crate::rig::{post, receive, send, server};

#[test]
fn a_streamed_result_equals_the_whole_one() {
    for format in [
        "TabSeparated",
        "TabSeparatedWithNames",
        "TabSeparatedWithNamesAndTypes",
        "CSV",
        "CSVWithNames",
        "JSONEachRow",
        "JSONCompactEachRowWithNamesAndTypes",
        "RowBinary",
        "RowBinaryWithNames",
        "RowBinaryWithNamesAndTypes",
        "Native",
    ] {
        let query = |rows| {
            format!("SELECT number, toString(number) AS `a \"b\"`, [number] FROM numbers({rows}) FORMAT {format}")
        };
        for rows in [0, 1, 300_000] {
            let streamed = post("/?max_block_size=50000", &query(rows));
            let whole = post("/?max_block_size=50000&wait_end_of_query=1", &query(rows));
            assert_eq!((streamed.status, whole.status, streamed.complete), (200, 200, true));
            assert!(streamed.body == whole.body, "{format}, {rows} rows");
        }
    }
}

#[test]
fn an_arrow_stream_of_many_blocks_is_one_stream() {
    let query = "SELECT number, toString(number) AS s FROM numbers(300000) FORMAT ArrowStream";
    let answer = post("/?output_format_arrow_compression_method=none", query);
    let reader = arrow::ipc::reader::StreamReader::try_new(&*answer.body, None).unwrap();
    let rows: usize = reader.map(|batch| batch.unwrap().num_rows()).sum();
    assert_eq!((answer.status, rows), (200, 300_000));
}

#[test]
fn json_is_one_document() {
    let answer = post("/", "SELECT number FROM numbers(200000) FORMAT JSON").ok();
    assert_eq!(answer.matches("\"meta\"").count(), 1);
    assert!(answer.contains("\"rows\": 200000"), "{}", &answer[answer.len() - 300..]);
}

#[test]
fn a_reader_that_leaves_ends_the_query() {
    let mut stream = TcpStream::connect(server()).unwrap();
    let query = "SELECT number FROM numbers(1000000000000) FORMAT RowBinary -- left alone";
    let head = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{query}",
        query.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.read_exact(&mut [0; 100_000]).unwrap();
    drop(stream);
    let started = Instant::now();
    let running =
        "SELECT count() FROM system.processes WHERE query LIKE '%left alone' AND query NOT LIKE '%processes%'";
    while post("/", running).ok() != "0\n" {
        assert!(started.elapsed() < Duration::from_secs(20), "the query still runs");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_fault_in_mid_result_is_told_and_cuts_the_connection() {
    let query =
        "SELECT throwIf(number = 900000), repeat('x', 100) FROM numbers(1000000) SETTINGS max_block_size = 10000";
    let answer = post("/", query);
    assert_eq!((answer.status, answer.complete), (200, false));
    let tag = answer.header("x-clickhouse-exception-tag").unwrap();
    assert!(answer.text().ends_with(&format!(" {tag}\r\n__exception__\r\n")));
    assert!(answer.text().contains("Code: 395. DB::Exception"));
    let whole = post("/?wait_end_of_query=1", query);
    assert_eq!((whole.status, whole.complete), (500, true));
    assert_eq!(whole.header("x-clickhouse-exception-code"), Some("395"));
}

#[test]
fn a_whole_result_beyond_the_bound_is_refused_not_held() {
    let answer = post(
        "/",
        "SELECT repeat('x', 1000 + number % 2) FROM numbers(400000) FORMAT JSON",
    );
    assert_eq!(
        answer.header("x-clickhouse-exception-code"),
        Some("396"),
        "{}",
        &answer.text()[..200]
    );
}

#[test]
fn connections_are_kept_for_the_next_request() {
    let mut stream = TcpStream::connect(server()).unwrap();
    for _ in 0..3 {
        stream
            .write_all(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8\r\n\r\nSELECT 1")
            .unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"0\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            answer.push(byte[0]);
        }
    }
    stream
        .write_all(b"GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .unwrap();
    assert_eq!(receive(stream).ok(), "Ok.\n");
    assert_eq!(send("GET", "/ping", &[], b"").status, 200);
}

#[test]
fn native_blocks_carry_what_the_protocol_version_adds() {
    let query = "SELECT number AS n, toString(number) AS s, toLowCardinality(if(number % 2, NULL, 'x')) AS l,
        [tuple(number, toLowCardinality('y'))] AS t, map('k', number) AS m, toDateTime64('2026-01-01 00:00:00', 3, 'UTC') AS d
        FROM numbers(100000) FORMAT Native";
    for wait in [0, 1] {
        let target =
            |version| format!("/?wait_end_of_query={wait}&client_protocol_version={version}&max_block_size=50000");
        let plain = post(&target(0), query);
        let marked = post(&target(54460), query);
        assert_eq!(
            (plain.status, marked.status, marked.complete),
            (200, 200, true),
            "{}",
            marked.text()
        );
        // Two blocks with 8 bytes of information and a mark for each of 6 columns.
        let blocks = (marked.body.len() - plain.body.len()) / (8 + 6);
        assert_eq!(marked.body.len(), plain.body.len() + blocks * (8 + 6));
        assert!(blocks >= 2 && marked.body.starts_with(&[1, 0, 2, 255, 255, 255, 255, 0, 6]));
        assert_eq!(post(&target(54405), query).body.len(), plain.body.len() + blocks * 8);
    }
}
