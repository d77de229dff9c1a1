//! What was acknowledged is there after a kill; one folder has one owner; a stopped server leaves everything behind in order.
//!
//! The engine is process-wide, so each of these runs servers in child processes: this test binary, told by the
//! environment to be a server.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use embedded::clickhouse::ClickHouseServer;

use crate::rig::{Answer, config, send_to};

const FOLDER_VARIABLE: &str = "MERIDIAN_TEST_SERVER_FOLDER";

/// Not a test of its own: the body of the child process. Without the variable there is nothing to serve.
#[test]
fn child_server() {
    let Some(folder) = std::env::var_os(FOLDER_VARIABLE) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut settings = config(Path::new(&folder));
        settings.user = std::env::var("MERIDIAN_TEST_SERVER_USER")
            .ok()
            .map(|user| (user, "secret".to_owned()));
        match ClickHouseServer::start(settings).await {
            Err(error) => println!("\nrefused: {error}"),
            Ok(server) => {
                println!("\nlistening: {}", server.address());
                let (sender, stopped) = tokio::sync::oneshot::channel();
                std::thread::spawn(move || {
                    let _ = std::io::stdin().lines().next();
                    let _ = sender.send(());
                });
                stopped.await.unwrap();
                server.stop(Duration::from_secs(20)).await.unwrap();
                println!("\nstopped");
            }
        }
    });
}

struct Server {
    child: Child,
    /// Kept open: the child writes to it to its end.
    output: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl Server {
    fn try_start(folder: &Path, user: Option<&str>) -> Result<Self, String> {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "durability::child_server", "--nocapture"])
            .env(FOLDER_VARIABLE, folder);
        if let Some(user) = user {
            command.env("MERIDIAN_TEST_SERVER_USER", user);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut server = Self {
            child,
            output,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        let mut line = String::new();
        while server.output.read_line(&mut line).unwrap() > 0 {
            let text = std::mem::take(&mut line);
            let line = text.trim_end();
            if let Some(address) = line.strip_prefix("listening: ") {
                server.address = address.parse().unwrap();
                return Ok(server);
            }
            if let Some(reason) = line.strip_prefix("refused: ") {
                return Err(reason.to_owned());
            }
        }
        panic!("the child server ended without a word");
    }

    fn start(folder: &Path) -> Self {
        Self::try_start(folder, None).unwrap()
    }

    fn post(&self, target: &str, statement: &str) -> Answer {
        send_to(self.address, "POST", target, &[], statement.as_bytes())
    }

    /// Nothing of the process runs any more after this.
    fn kill(self) {
        drop(self);
    }

    /// Ends the server in order.
    fn stop(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // `SIGKILL`; without effect when the process has ended and been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn acknowledged_rows_survive_kill_minus_nine_and_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    let server = Server::start(folder.path());
    server.post("/", "CREATE DATABASE d").ok();
    server
        .post(
            "/",
            "CREATE TABLE d.t (batch UInt64, a UInt64) ENGINE = MergeTree ORDER BY (batch, a)",
        )
        .ok();
    server
        .post("/", "CREATE TABLE in_default (a UInt8) ENGINE = MergeTree ORDER BY a")
        .ok();
    server.post("/", "INSERT INTO in_default VALUES (1)").ok();
    server.kill();
    for round in 0..3 {
        let server = Server::start(folder.path());
        let counted = server
            .post(
                "/",
                "SELECT uniqExact(batch), countIf(c != 1000) FROM (SELECT batch, count() AS c FROM d.t GROUP BY batch)",
            )
            .ok();
        let (batches, incomplete) = counted.trim().split_once('\t').unwrap();
        assert!(
            batches.parse::<u64>().unwrap() >= acknowledged,
            "round {round}: {batches} of {acknowledged} batches"
        );
        assert_eq!(incomplete, "0", "round {round}");
        assert_eq!(server.post("/", "SELECT count() FROM in_default").ok(), "1\n");
        for _ in 0..20 {
            let batch = acknowledged + 1000 * round;
            server
                .post(
                    "/",
                    &format!("INSERT INTO d.t SELECT {batch}, number FROM numbers(1000)"),
                )
                .ok();
            acknowledged += 1;
        }
        server.kill();
    }
    let server = Server::start(folder.path());
    assert_eq!(
        server.post("/", "SELECT uniqExact(batch), count() FROM d.t").ok(),
        "60\t60000\n"
    );
    server.stop();
}

#[test]
fn a_folder_in_use_is_refused_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let reason = Server::try_start(folder.path(), None)
        .err()
        .expect("the folder has an owner");
    assert!(
        reason.contains("in use by another process") && reason.contains("--data-dir"),
        "{reason}"
    );
    assert_eq!(server.post("/", "SELECT 1").ok(), "1\n");
    server.stop();
    Server::start(folder.path()).stop();
}

#[test]
fn a_configured_user_is_asked_for_the_password() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::try_start(folder.path(), Some("meridian")).unwrap();
    let answer = server.post("/?user=meridian&password=wrong", "SELECT 1");
    assert_eq!(
        (answer.status, answer.header("x-clickhouse-exception-code")),
        (403, Some("516"))
    );
    assert_eq!(server.post("/", "SELECT 1").status, 403);
    assert_eq!(server.post("/?user=meridian&password=secret", "SELECT 1").ok(), "1\n");
    let headers = [("X-ClickHouse-User", "meridian"), ("X-ClickHouse-Key", "secret")];
    assert_eq!(send_to(server.address, "POST", "/", &headers, b"SELECT 1").ok(), "1\n");
    let basic = [("Authorization", "Basic bWVyaWRpYW46c2VjcmV0")];
    assert_eq!(send_to(server.address, "POST", "/", &basic, b"SELECT 1").ok(), "1\n");
    assert_eq!(send_to(server.address, "GET", "/ping", &[], b"").ok(), "Ok.\n");
    server.stop();
}

#[tokio::test]
async fn a_missing_library_is_an_error_that_says_how_to_install_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = config(folder.path());
    settings.library = Some(folder.path().join("libchdb.so"));
    let error = ClickHouseServer::start(settings).await.unwrap_err().to_string();
    assert!(error.contains("cargo xtask setup"), "{error}");
}
