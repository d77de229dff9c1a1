//! The HTTP interface: ways to ask, answers, headers, faults.

use std::io::{Read, Write};

use crate::rig::{database, post, run, send, url_encode};

#[test]
fn a_server_that_is_up_answers_ping() {
    assert_eq!(send("GET", "/ping", &[], b"").ok(), "Ok.\n");
    assert_eq!(send("GET", "/replicas_status", &[], b"").ok(), "Ok.\n");
    assert_eq!(send("GET", "/", &[], b"").ok(), "Ok.\n");
    assert_eq!(send("GET", "/nothing-here", &[], b"").status, 404);
}

#[test]
fn pages_of_other_sites_get_no_answer() {
    for foreign in [
        ("Origin", "http://evil.example"),
        ("Origin", "null"),
        ("Origin", "http://localhost:3000"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Host", "evil.example:8123"),
    ] {
        for (method, target) in [("POST", "/"), ("GET", "/?query=SELECT%201")] {
            let answer = send(method, target, &[foreign], b"SELECT 1");
            assert_eq!(answer.status, 403, "{method} {foreign:?}: {}", answer.text());
            assert!(answer.text().contains("(AUTHENTICATION_FAILED)"), "{}", answer.text());
        }
    }
    let own = [("Origin", "http://localhost"), ("Sec-Fetch-Site", "same-origin")];
    assert_eq!(send("POST", "/", &own, b"SELECT 1").ok(), "1\n");
}

#[test]
fn a_link_on_another_site_runs_no_query() {
    let from = |site| {
        [
            ("Sec-Fetch-Site", site),
            ("Sec-Fetch-Mode", "navigate"),
            ("Sec-Fetch-Dest", "document"),
        ]
    };
    for site in ["cross-site", "same-site"] {
        let answer = send("GET", "/?query=SELECT%201", &from(site), b"");
        assert_eq!(answer.status, 403, "{site}: {}", answer.text());
        assert!(answer.text().contains("links"), "{}", answer.text());
        assert_eq!(send("GET", "/ping", &from(site), b"").ok(), "Ok.\n");
    }
    // Entered by hand, or by a link on a page of this port.
    for site in ["none", "same-origin"] {
        assert_eq!(
            send("GET", "/?query=SELECT%201", &from(site), b"").ok(),
            "1\n",
            "{site}"
        );
    }
}

#[test]
fn a_query_comes_in_the_url_the_body_or_both() {
    assert_eq!(send("GET", "/?query=SELECT%201", &[], b"").ok(), "1\n");
    assert_eq!(post("/", "SELECT 2").ok(), "2\n");
    assert_eq!(post("/?query=SELECT%203", "FORMAT JSONEachRow").ok(), "{\"3\":3}\n");
    assert_eq!(post("/", "SELECT 4;\n").ok(), "4\n");
}

#[test]
fn the_server_names_version_zone_format_and_query() {
    let answer = post(
        "/?query_id=my-id&default_format=JSONEachRow",
        "SELECT version() AS v, timezone() AS z",
    );
    assert!(answer.ok().starts_with("{\"v\":\"26.7."), "{}", answer.text());
    assert!(answer.text().contains("\"z\":\"UTC\""));
    assert_eq!(answer.header("x-clickhouse-query-id"), Some("my-id"));
    assert_eq!(answer.header("x-clickhouse-format"), Some("JSONEachRow"));
    assert_eq!(answer.header("x-clickhouse-timezone"), Some("UTC"));
    assert!(answer.header("x-clickhouse-server-display-name").is_some());
    assert!(
        answer
            .header("x-clickhouse-summary")
            .unwrap()
            .contains("\"read_rows\":\"")
    );
    assert_eq!(
        answer.header("content-type"),
        Some("application/x-ndjson; charset=UTF-8")
    );
    assert_eq!(post("/", "SELECT 1").header("x-clickhouse-query-id").unwrap().len(), 36);
}

#[test]
fn faults_have_the_number_text_and_status_of_a_server() {
    let cases = [
        ("SELECT * FROM missing", 60, 404, "UNKNOWN_TABLE"),
        ("SELECT missing FROM system.one", 47, 404, "UNKNOWN_IDENTIFIER"),
        ("SELEKT 1", 62, 400, "SYNTAX_ERROR"),
        ("", 62, 400, "SYNTAX_ERROR"),
        ("exit", 62, 400, "SYNTAX_ERROR"),
        ("SELECT 1; SELECT 2", 62, 400, "SYNTAX_ERROR"),
        ("SELECT throwIf(1)", 395, 500, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"),
        ("INSERT INTO missing VALUES (1)", 60, 404, "UNKNOWN_TABLE"),
        ("INSERT INTO missing FORMAT CSV\n1", 60, 404, "UNKNOWN_TABLE"),
        ("SELECT {x:Int8}", 456, 400, "UNKNOWN_QUERY_PARAMETER"),
        ("SELECT 1 FORMAT NoSuchFormat", 73, 404, "UNKNOWN_FORMAT"),
        (
            "SELECT 1 INTO OUTFILE '/tmp/never'",
            358,
            500,
            "INTO_OUTFILE_NOT_ALLOWED",
        ),
        (
            "SELECT sleep(3) SETTINGS max_execution_time=1, timeout_before_checking_execution_speed=0",
            159,
            408,
            "TIMEOUT_EXCEEDED",
        ),
    ];
    for (statement, code, status, name) in cases {
        let answer = post("/", statement);
        assert_eq!(answer.status, status, "{statement}: {}", answer.text());
        assert_eq!(
            answer.header("x-clickhouse-exception-code"),
            Some(&*code.to_string()),
            "{statement}"
        );
        assert!(
            answer.text().starts_with(&format!("Code: {code}. DB::Exception: ")),
            "{}",
            answer.text()
        );
        assert!(answer.text().contains(&format!("({name})")), "{}", answer.text());
        assert!(answer.text().ends_with("(official build))\n"), "{}", answer.text());
        assert!(answer.complete);
    }
    let unknown = post("/?no_such_setting=1", "SELECT 1");
    assert_eq!(
        (unknown.status, unknown.header("x-clickhouse-exception-code")),
        (404, Some("115"))
    );
    let unknown = post("/?database=no_such_database", "SELECT 1");
    assert_eq!(
        (unknown.status, unknown.header("x-clickhouse-exception-code")),
        (404, Some("81"))
    );
}

#[test]
fn a_get_only_reads() {
    let database = database("get_only_reads");
    run(&database, "CREATE TABLE t (a Int8) ENGINE = MergeTree ORDER BY a");
    for statement in [
        "INSERT INTO t VALUES (1)",
        "DROP TABLE t",
        "CREATE TABLE u (a Int8) ENGINE = Memory",
    ] {
        for session in ["", "&session_id=get_only_reads"] {
            let target = format!("/?database={database}&query={}{session}", url_encode(statement));
            let answer = send("GET", &target, &[], b"");
            assert_eq!(
                answer.header("x-clickhouse-exception-code"),
                Some("164"),
                "{statement}: {}",
                answer.text()
            );
        }
    }
    assert_eq!(run(&database, "SELECT count() FROM t"), "0\n");
    let show = format!("/?database={database}&query={}", url_encode("SHOW TABLES"));
    assert_eq!(send("GET", &show, &[], b"").ok(), "t\n");
}

#[test]
fn parameters_are_bound_not_pasted() {
    let target = format!(
        "/?param_n=7&param_s={}&param_l={}",
        url_encode("a'b\\tc"),
        url_encode("['x','y']")
    );
    assert_eq!(
        post(&target, "SELECT {n:UInt8} + 1, {s:String}, {l:Array(String)}").ok(),
        "8\ta\\'b\\tc\t['x','y']\n"
    );
    let evil = format!("/?param_s={}", url_encode("'; DROP TABLE x; --"));
    assert_eq!(post(&evil, "SELECT length({s:String})").ok(), "19\n");
}

#[test]
fn a_form_carries_query_and_parameters() {
    let form = "--xyz\r\nContent-Disposition: form-data; name=\"query\"\r\n\r\nSELECT {a:Int32} * 2\r\n\
        --xyz\r\nContent-Disposition: form-data; name=\"param_a\"\r\n\r\n21\r\n--xyz--\r\n";
    let headers = [("Content-Type", "multipart/form-data; boundary=xyz")];
    assert_eq!(send("POST", "/", &headers, form.as_bytes()).ok(), "42\n");
}

#[test]
fn settings_and_database_of_a_request_end_with_it() {
    let database = database("nothing_leaks");
    let target = format!("/?database={database}&max_threads=3&max_block_size=1234");
    let statement = "SELECT currentDatabase(), getSetting('max_threads'), getSetting('max_block_size')";
    assert_eq!(post(&target, statement).ok(), "nothing_leaks\t3\t1234\n");
    post("/", "SET max_block_size = 4321").ok();
    post("/", "USE nothing_leaks").ok();
    post("/", "CREATE TEMPORARY TABLE leaked (a Int8)").ok();
    assert_eq!(
        post("/", "SELECT currentDatabase(), getSetting('max_block_size')").ok(),
        "default\t65409\n"
    );
    assert_eq!(post("/", "SELECT * FROM leaked").status, 404);
}

#[test]
fn the_machine_behind_the_port_is_out_of_reach() {
    for statement in [
        "SELECT * FROM file('/etc/hostname', 'LineAsString')",
        "SELECT * FROM \"/etc/hostname\"",
        "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
        "INSERT INTO FUNCTION file('/tmp/meridian-never', 'CSV', 'a Int8') VALUES (1)",
        "SELECT * FROM remote('127.0.0.1', 'system.one')",
    ] {
        let answer = post("/", statement);
        assert_eq!(
            answer.header("x-clickhouse-exception-code"),
            Some("497"),
            "{statement}: {}",
            answer.text()
        );
        assert_eq!(answer.status, 403);
    }
}

#[test]
fn results_are_compressed_as_the_client_accepts() {
    let query = "SELECT number FROM numbers(100000)";
    let plain = post("/", query).ok();
    let asked = |accept| {
        send(
            "POST",
            "/?enable_http_compression=1",
            &[("Accept-Encoding", accept)],
            query.as_bytes(),
        )
    };
    let gzip = asked("gzip");
    assert_eq!(gzip.header("content-encoding"), Some("gzip"));
    let mut text = String::new();
    flate2::read::GzDecoder::new(&*gzip.body)
        .read_to_string(&mut text)
        .unwrap();
    assert!(text == plain);
    let zstd = asked("zstd");
    assert_eq!(zstd.header("content-encoding"), Some("zstd"));
    assert!(zstd::decode_all(&*zstd.body).unwrap() == plain.as_bytes());
    let lz4 = asked("lz4, gzip");
    assert_eq!(lz4.header("content-encoding"), Some("lz4"));
    text.clear();
    lz4_flex::frame::FrameDecoder::new(&*lz4.body)
        .read_to_string(&mut text)
        .unwrap();
    assert!(text == plain);
    let off = send("POST", "/", &[("Accept-Encoding", "gzip")], query.as_bytes());
    assert!(off.header("content-encoding").is_none() && off.ok() == plain);
}

#[test]
fn bodies_may_be_compressed() {
    let database = database("bodies_compressed");
    run(
        &database,
        "CREATE TABLE t (a UInt64, s String) ENGINE = MergeTree ORDER BY a",
    );
    let rows: String = (0..5000)
        .map(|number| format!("{number},\"row\n\n{number}\"\n"))
        .collect();
    let target = format!("/?database={database}&query={}", url_encode("INSERT INTO t FORMAT CSV"));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(rows.as_bytes()).unwrap();
    let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
    lz4.write_all(rows.as_bytes()).unwrap();
    let zstd = zstd::encode_all(rows.as_bytes(), 1).unwrap();
    for (name, body) in [
        ("gzip", gzip.finish().unwrap()),
        ("lz4", lz4.finish().unwrap()),
        ("zstd", zstd),
    ] {
        send("POST", &target, &[("Content-Encoding", name)], &body).ok();
    }
    assert_eq!(run(&database, "SELECT count(), uniqExact(s) FROM t"), "15000\t5000\n");
    let broken = send("POST", &target, &[("Content-Encoding", "gzip")], b"this is no gzip");
    assert_eq!(broken.header("x-clickhouse-exception-code"), Some("271"));
    assert_eq!(run(&database, "SELECT count() FROM t"), "15000\n");
}

/// What the engine writes when the last room goes is lost, so it stops before.
#[test]
fn some_room_is_left_on_the_disk() {
    let kept = post("/", "SELECT keep_free_space FROM system.disks").ok();
    assert_eq!(kept.trim(), embedded::limits::CLICKHOUSE_FREE_BYTES_MIN.to_string());
}
