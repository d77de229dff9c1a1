//! INSERT: nothing is lost, cut or half applied.

use std::{
    io::Write,
    net::TcpStream,
    time::{Duration, Instant},
};

use crate::rig::{database, post, run, send, server, url_encode};

#[test]
fn double_line_breaks_in_a_binary_body_are_data() {
    let database = database("double_line_breaks");
    run(&database, "CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a");
    let rows = vec![0x0a; 8 * 300_000];
    let target = format!(
        "/?database={database}&query={}",
        url_encode("INSERT INTO t FORMAT RowBinary")
    );
    let answer = send("POST", &target, &[], &rows);
    answer.ok();
    assert!(
        answer
            .header("x-clickhouse-summary")
            .unwrap()
            .contains("\"written_rows\":\"300000\"")
    );
    assert_eq!(
        run(&database, "SELECT count(), uniqExact(a), any(a) FROM t"),
        "300000\t1\t723401728380766730\n"
    );
}

#[test]
fn text_and_data_may_share_the_body() {
    let database = database("shared_body");
    run(
        &database,
        "CREATE TABLE t (a UInt64, s String) ENGINE = MergeTree ORDER BY a",
    );
    run(&database, "INSERT INTO t VALUES (1, 'x\n\ny; --'), (2, 'z''')");
    run(
        &database,
        "INSERT INTO t FORMAT JSONEachRow\n{\"a\":3,\"s\":\"c\"}\n\n{\"a\":4,\"s\":\"d\"}\n",
    );
    let mut body = b"INSERT INTO t (a, s) FORMAT RowBinary\n".to_vec();
    body.extend_from_slice(&[10, 10, 0, 0, 0, 0, 0, 0, 2, 10, 10]);
    send("POST", &format!("/?database={database}"), &[], &body).ok();
    run(&database, "INSERT INTO t SELECT 6, 'f'");
    let statement = url_encode("INSERT INTO t SETTINGS max_threads = 1 FORMAT CSV");
    post(&format!("/?database={database}&query={statement}"), "7,g\n").ok();
    let rows = "1\tx\\n\\ny; --\n2\tz\\'\n3\tc\n4\td\n6\tf\n7\tg\n2570\t\\n\\n\n";
    assert_eq!(run(&database, "SELECT a, s FROM t ORDER BY a"), rows);
}

#[test]
fn a_chunked_body_that_is_cut_inserts_nothing() {
    let database = database("cut_chunked");
    run(&database, "CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a");
    let target = format!(
        "/?database={database}&query={}",
        url_encode("INSERT INTO t FORMAT RowBinary")
    );
    for leave_politely in [false, true] {
        let mut stream = TcpStream::connect(server()).unwrap();
        let head = format!("POST {target} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        for _ in 0..40 {
            stream.write_all(b"80000\r\n").unwrap();
            stream.write_all(&vec![7; 0x80000]).unwrap();
            stream.write_all(b"\r\n").unwrap();
        }
        // 20 MiB of whole rows have been sent and some of them wait on disk; the last chunk never comes.
        if leave_politely {
            stream.shutdown(std::net::Shutdown::Write).unwrap();
        }
        drop(stream);
    }
    let mut stream = TcpStream::connect(server()).unwrap();
    let head = format!("POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 80\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&[7; 40]).unwrap();
    drop(stream);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(run(&database, "SELECT count() FROM t"), "0\n");
}

#[test]
fn an_insert_with_a_bad_row_inserts_nothing_and_says_where() {
    let database = database("bad_row");
    run(&database, "CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a");
    let rows = "1\n2\nthree\n4\n";
    let target = format!("/?database={database}&query={}", url_encode("INSERT INTO t FORMAT CSV"));
    let answer = send("POST", &target, &[], rows.as_bytes());
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(answer.text().contains("at row 3"), "{}", answer.text());
    let half = send(
        "POST",
        &format!("/?database={database}&query=INSERT%20INTO%20t%20FORMAT%20RowBinary"),
        &[],
        &[1; 20],
    );
    assert_eq!(half.header("x-clickhouse-exception-code"), Some("33"));
    assert_eq!(run(&database, "SELECT count() FROM t"), "0\n");
}

#[test]
fn a_body_larger_than_memory_goes_over_disk_and_arrives_whole() {
    let database = database("large_body");
    run(
        &database,
        "CREATE TABLE t (a UInt64, b UInt64) ENGINE = MergeTree ORDER BY a",
    );
    let rows: Vec<u8> = (0..3_000_000_u64)
        .flat_map(|number| [number, number * 10].map(u64::to_le_bytes).concat())
        .collect();
    let target = format!(
        "/?database={database}&query={}",
        url_encode("INSERT INTO t FORMAT RowBinary")
    );
    send("POST", &target, &[], &rows).ok();
    assert_eq!(
        run(&database, "SELECT count(), sum(a), sum(b) FROM t"),
        "3000000\t4499998500000\t44999985000000\n"
    );
}

#[test]
fn queries_and_inserts_run_side_by_side() {
    let database = database("side_by_side");
    run(
        &database,
        "CREATE TABLE t (worker UInt8, number UInt32) ENGINE = MergeTree ORDER BY (worker, number)",
    );
    let slow = std::thread::spawn(|| {
        let started = Instant::now();
        post(
            "/",
            "SELECT sleepEachRow(0.5) FROM numbers(4) SETTINGS max_block_size = 1",
        )
        .ok();
        started.elapsed()
    });
    let started = Instant::now();
    std::thread::scope(|scope| {
        for worker in 0..8 {
            let database = &database;
            scope.spawn(move || {
                for batch in 0..10 {
                    let rows: String = (0..500)
                        .map(|row| format!("{worker},{}\n", batch * 500 + row))
                        .collect();
                    let target = format!("/?database={database}&query={}", url_encode("INSERT INTO t FORMAT CSV"));
                    send("POST", &target, &[], rows.as_bytes()).ok();
                    run(database, "SELECT max(number) FROM t");
                }
            });
        }
    });
    let elapsed = started.elapsed();
    assert_eq!(
        run(&database, "SELECT count(), uniqExact(worker, number) FROM t"),
        "40000\t40000\n"
    );
    let slow = slow.join().unwrap();
    assert!(slow >= Duration::from_secs(2), "the slow query took {slow:?}");
    println!("80 inserts and 80 queries by 8 clients in {elapsed:?} beside a slow query");
}
