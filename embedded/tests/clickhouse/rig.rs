//! The shared server, databases for tests, and a plain HTTP client that shows what is on the wire.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::OnceLock,
    time::Duration,
};

use embedded::clickhouse::{ClickHouseConfig, ClickHouseServer};

/// The runtime and the server live as long as the process: the engine is process-wide.
static SERVER: OnceLock<SocketAddr> = OnceLock::new();

/// Address of the server of this binary.
pub(crate) fn server() -> SocketAddr {
    *SERVER.get_or_init(|| {
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let folder = tempfile::tempdir().unwrap();
                let server = ClickHouseServer::start(config(folder.path())).await;
                let server = server.unwrap_or_else(|error| panic!("{error}"));
                sender.send(server.address()).unwrap();
                std::future::pending::<()>().await;
            });
        });
        receiver.recv().expect("the server starts: its own message is above")
    })
}

pub(crate) fn config(data_dir: &std::path::Path) -> ClickHouseConfig {
    ClickHouseConfig {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        data_dir: data_dir.to_owned(),
        library: None,
        user: None,
    }
}

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// The body ended as HTTP says it must.
    pub(crate) complete: bool,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// The text of an answer that must be good.
    #[track_caller]
    pub(crate) fn ok(&self) -> String {
        assert_eq!(self.status, 200, "{}", self.text());
        self.text()
    }
}

/// Sends one request on a connection of its own.
pub(crate) fn send(method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    send_to(server(), method, target, headers, body)
}

pub(crate) fn send_to(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    let mut head = format!(
        "{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    receive(stream)
}

/// Reads an answer to its end.
pub(crate) fn receive(mut stream: TcpStream) -> Answer {
    stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    let mut bytes = Vec::new();
    // A cut connection may end in a reset: what came before it counts.
    let _ = stream.read_to_end(&mut bytes);
    let head_end = bytes
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .expect("an answer has a head");
    let head = String::from_utf8(bytes[..head_end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let split = |line: &str| {
        line.split_once(": ")
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
    };
    let headers: Vec<_> = lines.filter_map(split).collect();
    let chunked = headers
        .iter()
        .any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    let (body, complete) = if chunked {
        unchunk(&bytes[head_end + 4..])
    } else {
        (bytes[head_end + 4..].to_vec(), true)
    };
    Answer {
        status,
        headers,
        body,
        complete,
    }
}

fn unchunk(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let Some(line_end) = rest.windows(2).position(|window| window == b"\r\n") else {
            return (body, false);
        };
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..line_end]).unwrap(), 16).unwrap();
        rest = &rest[line_end + 2..];
        if length == 0 {
            return (body, true);
        }
        let Some(chunk) = rest.get(..length) else {
            return (body, false);
        };
        body.extend_from_slice(chunk);
        rest = &rest[length + 2..];
    }
}

/// A statement by POST.
pub(crate) fn post(target: &str, statement: &str) -> Answer {
    send("POST", target, &[], statement.as_bytes())
}

/// A statement that must succeed, in a database.
#[track_caller]
pub(crate) fn run(database: &str, statement: &str) -> String {
    post(&format!("/?database={database}"), statement).ok()
}

/// A database for one test.
pub(crate) fn database(name: &str) -> String {
    post("/", &format!("CREATE DATABASE {name}")).ok();
    name.to_owned()
}

pub(crate) fn url_encode(text: &str) -> String {
    text.bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}
