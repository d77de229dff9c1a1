//! Memory of the embedded ClickHouse server, measured in a process where nothing else happens.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use embedded::clickhouse::{ClickHouseConfig, ClickHouseServer};

/// Resident memory of this process, which is also the server's.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_result_needs_little_memory_even_for_a_slow_reader() {
    let folder = tempfile::tempdir().unwrap();
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let config = ClickHouseConfig {
        listen,
        data_dir: folder.path().to_owned(),
        library: None,
        user: None,
    };
    let server = ClickHouseServer::start(config)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    let address = server.address();
    tokio::task::spawn_blocking(move || read_slowly(address)).await.unwrap();
    server.stop(Duration::from_secs(10)).await.unwrap();
}

fn read_slowly(server: SocketAddr) {
    let mut stream = TcpStream::connect(server).unwrap();
    // 2 GB of RowBinary.
    let query = "SELECT number, repeat('x', 92) FROM numbers(20000000) FORMAT RowBinary";
    let head = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{query}",
        query.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut buffer = vec![0; 1 << 20];
    stream.read_exact(&mut buffer).unwrap();
    let before = resident_bytes();
    std::thread::sleep(Duration::from_secs(2));
    let stalled = resident_bytes();
    assert!(
        stalled < before + (200 << 20),
        "a stalled reader let memory grow from {before} to {stalled}"
    );
    let (mut total, mut peak) = (buffer.len() as u64, stalled);
    loop {
        match stream.read(&mut buffer).unwrap() {
            0 => break,
            count => total += count as u64,
        }
        if total % 64 == 0 {
            peak = peak.max(resident_bytes());
        }
    }
    assert!(total > 2_000_000_000, "{total} bytes came");
    assert!(peak < before + (500 << 20), "memory grew from {before} to {peak}");
}
