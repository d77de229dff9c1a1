//! The command line: help with examples, exit codes, and refusals that say what to do.

use crate::meridian::{errors, meridian, text};

const COMMANDS: &[&[&str]] = &[
    &[],
    &["up"],
    &["ingest"],
    &["process"],
    &["serve"],
    &["embedded"],
    &["embedded", "mqtt"],
    &["embedded", "clickhouse"],
    &["migrate"],
    &["validate"],
    &["config"],
    &["dlq"],
    &["dlq", "ls"],
    &["dlq", "show"],
    &["dlq", "replay"],
    &["tap"],
    &["trace"],
    &["loadtest"],
    &["loadtest", "fleet"],
    &["loadtest", "replay"],
];

#[test]
fn every_command_has_help_with_an_example_and_the_common_options() {
    for path in COMMANDS {
        let output = meridian(&[*path, &["--help"]].concat());
        let help = text(&output);
        assert_eq!(output.status.code(), Some(0), "{path:?}");
        assert!(help.contains("Example"), "{path:?}: {help}");
        for option in ["--config", "--log-format"] {
            assert!(help.contains(option), "{path:?} has `{option}`");
        }
    }
}

#[test]
fn usage_faults_exit_with_2() {
    for arguments in [
        &["nonsense"][..],
        &["up", "--nonsense"],
        &["up", "--http-port", "70000"],
        &["config"],
        &["config", "--defaults", "--effective"],
        &["validate", "--log-format", "xml"],
        &["loadtest", "replay", "a.csv", "--map", "nonsense"],
        &[],
    ] {
        let output = meridian(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", errors(&output));
    }
}

#[test]
fn roles_alone_refuse_to_run_without_kafka() {
    for role in ["ingest", "process"] {
        let output = meridian(&[role]);
        let said = errors(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("[kafka]") && said.contains("meridian up"), "{said}");
    }
}

#[test]
fn a_tap_without_anything_to_tap_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let output = crate::meridian::command(&["tap"], folder.path())
        .env("MERIDIAN__SERVE__LISTEN", "127.0.0.1:9")
        .output()
        .unwrap();
    let said = errors(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said.contains("http://127.0.0.1:9") && said.contains("--data-dir"),
        "{said}"
    );
}

#[test]
fn an_audit_without_a_pause_and_a_trace_of_nothing_are_refused() {
    for (arguments, part) in [
        (&["audit", "--watch", "0s"][..], "1 s at least"),
        (
            &["trace", "--tenant", "acme", "--data-dir", "."],
            "`--device`, or a `--cell`",
        ),
    ] {
        let output = meridian(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", errors(&output));
        assert!(errors(&output).contains(part), "{}", errors(&output));
    }
}

#[test]
fn a_data_folder_that_is_asked_for_and_not_there_is_no_reason_to_take_another_one() {
    for arguments in [&["tap"][..], &["loadtest", "fleet"]] {
        let output = meridian(&[arguments, &["--data-dir", "mistyped"]].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", errors(&output));
        assert!(
            errors(&output).contains("`mistyped`: nothing runs there"),
            "{}",
            errors(&output)
        );
    }
}

#[test]
fn migrate_shows_its_sql_without_a_server() {
    let output = meridian(&["migrate", "--dry-run"]);
    let sql = text(&output);
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    for part in [
        "-- 0001_schema_migrations",
        "CREATE TABLE IF NOT EXISTS",
        "measurement_log",
        "rollups",
    ] {
        assert!(sql.contains(part), "`{part}` in {sql}");
    }
    let output = meridian(&["migrate"]);
    assert_eq!(output.status.code(), Some(2), "there is no server to migrate");
    assert!(errors(&output).contains("clickhouse.url"), "{}", errors(&output));
}

#[test]
fn an_unreachable_server_is_named_with_exit_code_1() {
    let folder = tempfile::tempdir().unwrap();
    let output = crate::meridian::command(&["migrate"], folder.path())
        .env("MERIDIAN__CLICKHOUSE__URL", "http://127.0.0.1:9")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(errors(&output).contains("http://127.0.0.1:9"), "{}", errors(&output));
}
