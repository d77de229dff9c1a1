//! Who may ask a running `meridian`: nobody elsewhere without a key, and with one, about its tenant.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::Output,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    device::{Publish, Version, publish},
    life::get,
    meridian::{READY_MAX, Up, command, daemon, embedded_service, errors, text},
};

/// Asks with headers; gives the status and the body.
fn ask(url: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    let headers: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    write!(
        stream,
        "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn until(url: &str, key: &str, status: u16) -> String {
    let began = Instant::now();
    loop {
        let (found, body) = ask(url, &[("Authorization", &format!("Bearer {key}"))]);
        if found == status {
            return body;
        }
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "{url} is {found}, not {status}: {body}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn is_refused(output: &Output, words: &str) {
    let said = errors(output);
    assert!(
        output.status.code() == Some(2) && said.contains(words),
        "{:?}: {said}",
        output.status
    );
}

#[tokio::test]
async fn a_key_opens_its_tenant_to_other_machines_and_nothing_else_does() {
    let folder = tempfile::tempdir().unwrap();
    let (mut engine, clickhouse) = embedded_service("clickhouse", "engine", folder.path());
    let config = folder.path().join("meridian.toml");
    std::fs::write(&config, format!("[clickhouse]\nurl = \"{clickhouse}\"\n")).unwrap();
    let config = config.to_str().unwrap();
    let mut up = Up::start(&["--config", config]);
    for tenant in ["acme", "beta"] {
        let events = (0..10_u64).map(|seq| {
            let ts = 1_700_000_000_000 + seq * 1_000;
            let payload = format!(r#"{{"ts":{ts},"seq":{seq},"lat":48.1,"lon":11.6,"v":{seq}}}"#);
            Publish::new(&format!("telemetry/{tenant}/{tenant}-car"), payload)
        });
        publish(&up.mqtt(), Version::V5, events.collect()).await;
    }
    up.store().wait_until_complete(20).await;
    let run = |arguments: &[&str]| {
        let arguments = [arguments, &["--config", config]].concat();
        let mut command = command(&arguments, folder.path());
        command.env("MERIDIAN__SERVE__LISTEN", "0.0.0.0:0").output().unwrap()
    };
    // Without a key nobody could be answered, so it says so instead of starting.
    let ports = ["serve", "--http-port", "0", "--metrics-port", "0"];
    is_refused(&run(&ports), "meridian keys new");
    is_refused(&run(&["validate", "--connect"]), "meridian keys new");
    assert!(text(&run(&["validate"])).contains("meridian keys new"));
    assert!(
        get(&format!("{}/api/v1/devices", up.endpoint("http")))
            .0
            .contains("200"),
        "this machine needs none"
    );

    let made = run(&[
        "keys",
        "new",
        "--tenant",
        "acme",
        "--expires",
        "90d",
        "--name",
        "a test",
        "--format",
        "json",
    ]);
    assert_eq!(made.status.code(), Some(0), "{}", errors(&made));
    let made: Value = serde_json::from_str(&text(&made)).unwrap();
    let (key, id) = (made["key"].as_str().unwrap(), made["id"].as_str().unwrap());
    assert_eq!(
        (&made["tenants"], &made["scopes"]),
        (&json!(["acme"]), &json!(["read", "live"]))
    );
    let arguments = [&ports[..], &["--config", config]].concat();
    let serve = daemon(&arguments)
        .current_dir(folder.path())
        .env("MERIDIAN__SERVE__LISTEN", "0.0.0.0:0");
    let mut serve = serve.start().unwrap();
    let line = serve.wait_for_line("web  ", READY_MAX).unwrap();
    let (served, words) = line[line.find("http://").unwrap()..].split_once(' ').unwrap();
    assert!(words.contains("any address of this machine"), "{line}");
    let cells = format!("{served}/api/v1/cells?metric=v&from=2023-11-14T22:13:00Z&to=1700000100000&period=60&agg=sum");
    assert_eq!(ask(&cells, &[]).0, 401);
    let answer: Value = serde_json::from_str(&until(&cells, key, 200)).unwrap();
    assert_eq!(
        (&answer["values"], &answer["counts"]),
        (&json!([45.0]), &json!([10])),
        "of one tenant"
    );
    let devices = until(&format!("{served}/api/v1/devices"), key, 200);
    assert!(devices.contains("acme-car") && !devices.contains("beta"), "{devices}");
    until(&format!("{cells}&tenant=beta"), key, 404);
    until(&format!("{served}/api/v1/devices/beta/beta-car"), key, 404);
    // The first key closes this machine's own door, too.
    until(&format!("{}/api/v1/devices", up.endpoint("http")), "none", 401);
    until(&format!("{}/api/v1/devices", up.endpoint("http")), key, 200);

    let listed = text(&run(&["keys", "ls"]));
    assert!(
        listed.contains(id) && listed.contains("a test") && !listed.contains(key),
        "{listed}"
    );
    let revoked = run(&["keys", "revoke", id]);
    assert_eq!(revoked.status.code(), Some(0), "{}", errors(&revoked));
    until(&cells, key, 401);
    assert!(text(&run(&["keys", "ls"])).contains("revoked"));
    assert_eq!(run(&["keys", "revoke", "000000000000"]).status.code(), Some(1));
    assert!(!serve.log().contains(key) && !serve.log().contains(key.rsplit('_').next().unwrap()));
    assert_eq!(serve.interrupt().unwrap().code(), Some(0), "{}", serve.log());
    is_refused(&run(&ports), "no API key is good");
    up.stop();
    assert_eq!(engine.interrupt().unwrap().code(), Some(0));
}
