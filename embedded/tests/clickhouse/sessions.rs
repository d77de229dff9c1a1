//! Sessions by `session_id`.

use std::time::Duration;

use crate::rig::{database, post};

#[test]
fn a_session_keeps_settings_database_and_temporary_tables() {
    let database = database("session_keeps");
    let target = "/?session_id=keeps";
    post(target, "SET max_block_size = 777").ok();
    post(target, &format!("USE {database}")).ok();
    post(target, "CREATE TEMPORARY TABLE mine (a Int8)").ok();
    post(target, "INSERT INTO mine VALUES (1), (2)").ok();
    let state = "SELECT currentDatabase(), getSetting('max_block_size'), (SELECT count() FROM mine)";
    assert_eq!(post(target, state).ok(), "session_keeps\t777\t2\n");
    assert_eq!(post("/?session_id=another", "SELECT * FROM mine").status, 404);
}

#[test]
fn what_the_url_sets_on_a_session_ends_with_the_request() {
    let database = database("session_url");
    let target = "/?session_id=url";
    post(target, "SET max_block_size = 777").ok();
    let with_url = format!("{target}&database={database}&max_block_size=55&max_threads=2");
    let state = "SELECT currentDatabase(), getSetting('max_block_size')";
    assert_eq!(post(&with_url, state).ok(), "session_url\t55\n");
    assert_eq!(post(&format!("{with_url}&no_such_setting=1"), state).status, 404);
    assert_eq!(post(target, state).ok(), "default\t777\n");
    assert_eq!(
        post(target, "SELECT changed FROM system.settings WHERE name = 'max_threads'").ok(),
        "0\n"
    );
}

#[test]
fn a_session_serves_one_request_at_a_time() {
    let slow = std::thread::spawn(|| post("/?session_id=busy", "SELECT sleep(1)").ok());
    std::thread::sleep(Duration::from_millis(300));
    let second = post("/?session_id=busy", "SELECT 1");
    assert_eq!(
        second.header("x-clickhouse-exception-code"),
        Some("373"),
        "{}",
        second.text()
    );
    slow.join().unwrap();
    assert_eq!(post("/?session_id=busy", "SELECT 1").ok(), "1\n");
}

#[test]
fn an_idle_session_ends_after_its_time() {
    post("/?session_id=short&session_timeout=1", "SET max_block_size = 777").ok();
    assert_eq!(
        post("/?session_id=short&session_timeout=1&session_check=1", "SELECT 1").ok(),
        "1\n"
    );
    std::thread::sleep(Duration::from_millis(2500));
    let answer = post("/?session_id=short&session_check=1", "SELECT 1");
    assert_eq!(
        answer.header("x-clickhouse-exception-code"),
        Some("372"),
        "{}",
        answer.text()
    );
}
