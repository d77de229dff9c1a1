//! The sink when things go wrong: the same bytes until they are in, never twice in a result, never dropped in silence.

use std::time::Duration;

use processors::{
    runner::RowSink,
    sink::{ClickHouseSink, SinkError},
};
use schemas::rows::Rows;

use crate::{
    proxy::{Fate, Proxy},
    rig::{Database, Snapshot, insert_with, measurements, rollup_rows, server},
};

fn some_measurements(count: u32) -> Rows {
    Rows {
        measurements: measurements(count),
        ..Rows::default()
    }
}

#[tokio::test]
async fn an_answer_lost_after_the_commit_leads_to_the_same_bytes_and_no_duplicates() {
    let database = Database::migrated("faults_after_commit").await;
    let proxy = Proxy::start(server(), &[Fate::CutAfterCommit; 3]).await;
    insert_with(&database.sink_through(proxy.address), some_measurements(20_000)).await;
    let requests = proxy.requests();
    assert_eq!(requests.len(), 4);
    assert!(
        requests.iter().all(|request| request == &requests[0]),
        "every try sends the same bytes"
    );
    assert_eq!(
        database.text("SELECT count() FROM measurement_log").await,
        "80000",
        "each try was committed"
    );
    assert_eq!(
        database.text("SELECT count(), sum(offset) FROM measurements").await,
        "20000\t199990000"
    );
}

#[tokio::test]
async fn a_connection_cut_in_the_body_leaves_nothing_half_done() {
    let database = Database::migrated("faults_in_body").await;
    let proxy = Proxy::start(server(), &[Fate::CutInBody(900), Fate::CutInBody(300_000)]).await;
    insert_with(&database.sink_through(proxy.address), some_measurements(20_000)).await;
    assert_eq!(proxy.requests().len(), 3);
    assert_eq!(database.text("SELECT count() FROM measurement_log").await, "20000");
}

#[tokio::test]
async fn a_server_that_says_not_now_is_asked_again() {
    let database = Database::migrated("faults_not_now").await;
    let fates = [
        Fate::Answer("Code: 252. DB::Exception: Too many parts. (TOO_MANY_PARTS)"),
        Fate::Answer("Code: 241. DB::Exception: Memory limit exceeded. (MEMORY_LIMIT_EXCEEDED)"),
        Fate::Answer("<html>502 Bad Gateway</html>"),
    ];
    let proxy = Proxy::start(server(), &fates).await;
    insert_with(&database.sink_through(proxy.address), some_measurements(10)).await;
    assert_eq!(proxy.requests().len(), 4);
    assert_eq!(database.text("SELECT count() FROM measurements").await, "10");
}

#[tokio::test]
async fn a_server_that_is_down_is_waited_for() {
    let database = Database::migrated("faults_down").await;
    // A port that nobody listens on: the listener is bound, and closed before anybody connects.
    let reserved = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = reserved.local_addr().unwrap();
    drop(reserved);
    let sink = database.sink_through(address);
    let mut insert = std::pin::pin!(insert_with(&sink, some_measurements(10)));
    let waiting = tokio::time::timeout(Duration::from_millis(500), insert.as_mut()).await;
    assert!(waiting.is_err(), "it must not give up");
    assert_eq!(database.text("SELECT count() FROM measurements").await, "0");
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let _proxy = Proxy::serve(listener, server(), &[]);
    insert.await;
    assert_eq!(database.text("SELECT count() FROM measurements").await, "10");
}

async fn refused(sink: &ClickHouseSink, rows: Rows) -> SinkError {
    let encoded = sink.encode(rows);
    sink.insert(vec![encoded]).await.unwrap_err()
}

#[tokio::test]
async fn what_can_never_succeed_is_an_error_that_names_the_table() {
    let database = Database::migrated("faults_refused").await;
    database
        .execute("ALTER TABLE measurement_log DROP COLUMN accuracy_m")
        .await;
    let error = refused(&database.sink, some_measurements(1)).await;
    assert!(
        matches!(
            error,
            SinkError::Refused {
                table: "measurement_log",
                code: 16,
                ..
            }
        ),
        "{error}"
    );
    database.execute("DROP TABLE rollup_log").await;
    let rows = Rows {
        rollups: rollup_rows(&[Snapshot::default()]),
        ..Rows::default()
    };
    let error = refused(&database.sink, rows).await;
    assert!(
        matches!(
            error,
            SinkError::Refused {
                table: "rollup_log",
                code: 60,
                ..
            }
        ),
        "{error}"
    );
    assert!(error.to_string().contains("meridian validate --connect"), "{error}");
}

#[tokio::test]
async fn rows_that_are_no_table_are_an_error_not_a_panic() {
    let database = Database::migrated("faults_encoding").await;
    let mut rows = some_measurements(2);
    rows.measurements.value.pop();
    let error = refused(&database.sink, rows).await;
    assert!(matches!(error, SinkError::Encoding(_)), "{error}");
}

#[tokio::test]
async fn events_of_very_many_days_go_in_at_once() {
    let database = Database::migrated("faults_days").await;
    let mut rows = some_measurements(300);
    for (ts_ms, day) in rows.measurements.ts_ms.iter_mut().zip(0..) {
        *ts_ms += day * 86_400_000;
    }
    database.insert(rows).await;
    assert_eq!(
        database.text("SELECT uniqExact(toDate(ts)) FROM measurements").await,
        "300"
    );
}

#[tokio::test]
async fn shares_of_several_workers_and_all_tables_go_in_together() {
    let database = Database::migrated("faults_shares").await;
    let share = |first: u64| {
        let mut rows = some_measurements(5);
        rows.measurements.offset = (first..first + 5).collect();
        rows.rollups = rollup_rows(&[Snapshot {
            cell: first,
            ..Snapshot::default()
        }]);
        database.sink.encode(rows)
    };
    database.sink.insert(vec![share(0), share(5), share(10)]).await.unwrap();
    assert_eq!(
        database
            .text("SELECT count(), uniqExact(offset) FROM measurements")
            .await,
        "15\t15"
    );
    assert_eq!(database.text("SELECT count() FROM rollups").await, "3");
    let parts = "SELECT count() FROM system.parts WHERE database = 'faults_shares' AND table = 'measurement_log'";
    assert_eq!(database.text(parts).await, "1", "one INSERT, one part");
    database.sink.insert(Vec::new()).await.unwrap();
}

#[tokio::test]
async fn compressed_bodies_arrive_the_same() {
    let database = Database::migrated("faults_compressed").await;
    let mut settings = processors::sink::SinkSettings::new(crate::rig::client_at(server()), "faults_compressed");
    settings.compress = true;
    insert_with(&ClickHouseSink::new(settings), some_measurements(30_000)).await;
    assert_eq!(
        database.text("SELECT count(), sum(value) FROM measurements").await,
        "30000\t449985000"
    );
}

#[tokio::test]
async fn a_row_that_is_refused_on_its_own_is_a_dead_letter_and_its_neighbours_are_stored() {
    let database = Database::migrated("faults_one_row").await;
    database
        .execute("ALTER TABLE measurement_log ADD CONSTRAINT small CHECK value < 700 OR value > 702")
        .await;
    let rows = || Rows {
        rollups: rollup_rows(&[Snapshot::default()]),
        ..some_measurements(5_000)
    };
    // Twice, as after a crash.
    for _ in 0..2 {
        insert_with(&database.sink, rows()).await;
    }
    assert_eq!(
        database
            .text("SELECT count(), uniqExact(offset) FROM measurements")
            .await,
        "4997\t4997"
    );
    assert_eq!(database.text("SELECT count() FROM rollups").await, "1");
    let letters =
        "SELECT stage, reason, topic, partition, offset, detail LIKE '%469%' FROM dead_letters ORDER BY offset";
    let expected: Vec<String> = (700..703)
        .map(|offset| format!("insert\trow_refused\tmeasurement_log\t3\t{offset}\t1"))
        .collect();
    assert_eq!(database.text(letters).await, expected.join("\n"));
    // The letter is the row: once the constraint is gone it can be put back.
    database
        .execute("ALTER TABLE measurement_log DROP CONSTRAINT small")
        .await;
    for line in database
        .text("SELECT payload FROM dead_letters FORMAT TSVRaw")
        .await
        .lines()
    {
        database
            .execute(&format!("INSERT INTO measurement_log FORMAT JSONEachRow {line}"))
            .await;
    }
    let whole = database.text("SELECT * FROM measurements ORDER BY offset").await;
    insert_with(&database.sink, rows()).await;
    assert_eq!(
        database.text("SELECT * FROM measurements ORDER BY offset").await,
        whole,
        "put back as they were"
    );
    assert_eq!(database.text("SELECT count() FROM measurements").await, "5000");
}

#[tokio::test]
async fn a_table_that_refuses_every_row_ends_the_insert_instead_of_emptying_it_into_dead_letters() {
    let database = Database::migrated("faults_all_rows").await;
    database
        .execute("ALTER TABLE measurement_log ADD CONSTRAINT none CHECK value < 0")
        .await;
    let error = refused(&database.sink, some_measurements(5_000)).await;
    assert!(matches!(error, SinkError::Refused { code: 469, .. }), "{error}");
    assert_eq!(database.text("SELECT count() FROM dead_letters").await, "0");
}
