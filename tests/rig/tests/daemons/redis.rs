//! Redis.

use crate::exists;
use rig::Redis;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

/// Sends one inline command and returns the first line of the answer.
fn ask(redis: &Redis, command: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", redis.port())).expect("redis listens");
    stream
        .write_all(format!("{command}\r\n").as_bytes())
        .expect("redis reads");
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).expect("redis answers");
    answer.trim_end().to_owned()
}

#[test]
fn answers_restarts_empty_and_is_gone_after_drop() {
    let mut redis = Redis::start();
    assert_eq!(redis.url(), format!("redis://127.0.0.1:{}", redis.port()));
    assert_eq!(ask(&redis, "SET cell 7"), "+OK");
    assert_eq!(ask(&redis, "EXISTS cell"), ":1");
    redis.restart();
    assert_eq!(ask(&redis, "EXISTS cell"), ":0");
    let pid = redis.daemon().pid();
    drop(redis);
    assert!(!exists(pid));
}
