//! What commands say about configurations: all faults at once, where they are, and exit code 2.

use crate::meridian::{command, errors, meridian, text};

#[test]
fn the_printed_defaults_are_a_valid_configuration() {
    let printed = meridian(&["config", "--defaults"]);
    assert_eq!(printed.status.code(), Some(0));
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("meridian.toml"), text(&printed)).unwrap();
    let output = command(&["validate", "--config", "meridian.toml"], folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    let again = command(&["config", "--defaults", "--config", "meridian.toml"], folder.path())
        .output()
        .unwrap();
    assert_eq!(text(&again), text(&printed));
}

#[test]
fn the_effective_configuration_says_where_values_come_from_and_hides_secrets() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("a.toml"),
        "[serve]\nlisten = \"127.0.0.1:1\"\n[clickhouse]\npassword = \"hunter2\"\n",
    )
    .unwrap();
    std::fs::write(folder.path().join("b.toml"), "[serve]\nlisten = \"127.0.0.1:2\"\n").unwrap();
    let output = command(
        &["config", "--effective", "--config", "a.toml", "--config", "b.toml"],
        folder.path(),
    )
    .env("MERIDIAN__KAFKA__BROKERS", "127.0.0.1:3")
    .output()
    .unwrap();
    let shown = text(&output);
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    for part in [
        "127.0.0.1:2\"  # b.toml:2",
        "127.0.0.1:3\"  # ",
        "MERIDIAN__KAFKA__BROKERS",
    ] {
        assert!(shown.contains(part), "`{part}` in {shown}");
    }
    assert!(!shown.contains("hunter2"));
}

#[test]
fn all_faults_are_told_at_once_with_exit_code_2() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = "[kafka]\ngroop = \"a\"\n[process]\nflush_interval = 5\n[[ingest.routes]]\nfilter = \"a/#/b\"\ntopic = \"a\"\nformat = \"json\"\n";
    std::fs::write(folder.path().join("wrong.toml"), wrong).unwrap();
    for name in ["validate", "up", "ingest", "process", "serve", "migrate", "tap"] {
        let output = command(&[name, "--config", "wrong.toml"], folder.path())
            .output()
            .unwrap();
        let said = errors(&output);
        assert_eq!(output.status.code(), Some(2), "{name}: {said}");
        for part in [
            "5 faults",
            "wrong.toml:1: kafka.brokers",
            "wrong.toml:2: kafka.groop: is not a known key; did you mean `group`?",
            "wrong.toml:4: process.flush_interval",
            "wrong.toml:6: ingest.routes[0].filter",
            "wrong.toml:7: ingest.routes[0].topic",
        ] {
            assert!(said.contains(part), "{name}: `{part}` in {said}");
        }
        assert!(
            !folder.path().join("meridian-data").exists(),
            "{name} left a folder behind"
        );
    }
}

#[test]
fn faults_of_the_environment_and_missing_files_are_told_too() {
    let folder = tempfile::tempdir().unwrap();
    let output = command(&["validate"], folder.path())
        .env("MERIDIAN__KAFKA__BROKER", "a:1")
        .env("MERIDIAN__SERVE__LISTEN", "nowhere")
        .output()
        .unwrap();
    let said = errors(&output);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said.contains("MERIDIAN__KAFKA__BROKER") && said.contains("MERIDIAN__SERVE__LISTEN"),
        "{said}"
    );
    let output = command(&["validate", "--config", "absent.toml"], folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(errors(&output).contains("absent.toml"), "{}", errors(&output));
}

#[test]
fn json_is_the_form_of_errors_when_asked_for() {
    let output = meridian(&["validate", "--config", "absent.toml", "--log-format", "json"]);
    let said = errors(&output);
    let line: serde_json::Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!(line["level"], "ERROR");
    assert!(line["message"].as_str().unwrap().contains("absent.toml"));
}
