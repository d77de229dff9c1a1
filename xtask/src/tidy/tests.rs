//! Each rule catches the smallest file that breaks it, and leaves a good one alone.

use super::files::Files;
use super::{faults, sources};

/// `path:line` of every fault in the files.
fn places(files: &[(&str, &str)]) -> Vec<String> {
    faults(&Files::of(files))
        .iter()
        .map(|fault| format!("{}:{}", fault.path, fault.line))
        .collect()
}

fn manifest(name: &str, rest: &str) -> String {
    format!("[package]\nname = \"{name}\"\n[lints]\nworkspace = true\n{rest}")
}

#[test]
fn a_good_repository_has_no_faults() {
    let schemas = manifest("schemas", "");
    let ingest = manifest("ingest", "[dependencies]\nschemas.workspace = true\n");
    let files = [
        ("schemas/Cargo.toml", schemas.as_str()),
        ("ingest/Cargo.toml", ingest.as_str()),
        ("ingest/src/lib.rs", "//! What it is for.\n"),
        ("Cargo.toml", "[workspace.dependencies]\nschemas = \"1\"\n"),
    ];
    assert!(places(&files).is_empty(), "{:?}", places(&files));
}

#[test]
fn a_module_says_what_it_is_for() {
    assert_eq!(places(&[("a.rs", "fn a() {}\n")]), ["a.rs:1"]);
}

#[test]
fn unfinished_work_is_found_where_it_stands() {
    for word in [
        concat!("to", "do!()"),
        concat!("unimple", "mented!()"),
        concat!("#[", "ignore]"),
        concat!("#[", "ignore = \"later\"]"),
        concat!("// FIX", "ME"),
    ] {
        let text = format!("//! Docs.\n\n{word}\n");
        assert_eq!(places(&[("a.rs", &text)]), ["a.rs:3"], "{word}");
    }
}

#[test]
fn files_of_the_page_follow_the_same_rules() {
    for (path, text) in [
        ("a.ts", "export {};\n".to_owned()),
        ("a.css", "a {}\n".to_owned()),
        ("a.ts", format!("/** Docs. */\n{}\n", concat!("test", ".only('x')"))),
        (
            "a.tsx",
            format!(
                "/** Docs. */\n<p {}={{text}} />\n",
                concat!("dangerously", "SetInnerHTML")
            ),
        ),
        ("a.tsx", "/** Docs. */\n".repeat(501)),
    ] {
        assert_eq!(places(&[(path, &text)]).len(), 1, "{path}: {text}");
    }
    assert!(places(&[("a.ts", "/** Docs. */\nexport {};\n")]).is_empty());
}

#[test]
fn paths_of_a_machine_and_registries_are_found_in_any_file() {
    for word in [
        concat!("cd /ro", "ot/x"),
        concat!("\"/ho", "me/me/x\""),
        concat!("/wo", "rk/x"),
        concat!("https://registry.npm", "js.org/x"),
    ] {
        assert_eq!(places(&[("a.md", word)]), ["a.md:1"], "{word}");
    }
    for word in ["frame/work/x", "https://example.org/home/x", "~/root/x"] {
        assert!(places(&[("a.md", word)]).is_empty(), "{word}");
    }
}

#[test]
fn long_files_need_a_reason_and_short_ones_must_not_have_one() {
    let long = "//! Docs.\n".repeat(501);
    let count = |text: &str, allowed: &[(&str, &str)]| {
        let mut faults = Vec::new();
        sources::length("a.rs", text, allowed, &mut faults);
        faults.len()
    };
    assert_eq!(count(&long, &[]), 1);
    assert_eq!(count(&long, &[("a.rs", "a table")]), 0);
    assert_eq!(count("//! Docs.\n", &[("a.rs", "a table")]), 1);
    assert_eq!(count("//! Docs.\n", &[]), 0);
}

#[test]
fn dependencies_point_one_way() {
    let packages = [
        "schemas",
        "platform",
        "eventlog",
        "geocache",
        "embedded",
        "ingest",
        "processors",
        "dashboards",
        "loadtest",
        "meridian",
        "rig",
        "xtask",
    ];
    let allows = |from: &str, to: &str, kind: &str| {
        let from_manifest = manifest(from, &format!("[{kind}]\n{to}.workspace = true\n"));
        let to_manifest = manifest(to, "");
        let files = [("a/Cargo.toml", &*from_manifest), ("b/Cargo.toml", &*to_manifest)];
        places(&files).is_empty()
    };
    for (from, to) in [
        ("eventlog", "schemas"),
        ("ingest", "eventlog"),
        ("processors", "geocache"),
        ("meridian", "ingest"),
        ("xtask", "rig"),
    ] {
        assert!(allows(from, to, "dependencies"), "{from} on {to}");
    }
    for (from, to) in [
        ("schemas", "platform"),
        ("eventlog", "embedded"),
        ("ingest", "processors"),
        ("dashboards", "loadtest"),
        ("platform", "meridian"),
        ("ingest", "rig"),
        ("meridian", "xtask"),
    ] {
        assert!(!allows(from, to, "dependencies"), "{from} on {to}");
    }
    for from in packages.iter().filter(|from| **from != "rig") {
        assert!(allows(from, "rig", "dev-dependencies"), "{from}");
    }
}

#[test]
fn a_package_without_a_place_is_a_fault() {
    assert_eq!(places(&[("a/Cargo.toml", &manifest("misc", ""))]), ["a/Cargo.toml:1"]);
}

#[test]
fn only_its_gate_uses_a_client_library() {
    let uses = |name: &str, library: &str, kind: &str| {
        let text = manifest(name, &format!("[{kind}]\n{library} = \"1\"\n"));
        places(&[("a/Cargo.toml", &text)])
    };
    assert!(uses("eventlog", "rdkafka", "dependencies").is_empty());
    assert_eq!(uses("ingest", "rdkafka", "dependencies"), ["a/Cargo.toml:6"]);
    assert_eq!(uses("ingest", "rdkafka", "dev-dependencies"), ["a/Cargo.toml:6"]);
    assert!(uses("ingest", "rumqttc", "dependencies").is_empty());
    assert!(uses("meridian", "rumqttc", "dev-dependencies").is_empty());
    assert_eq!(uses("meridian", "rumqttc", "dependencies"), ["a/Cargo.toml:6"]);
}

#[test]
fn a_dependency_for_one_platform_counts_too() {
    let text = manifest("ingest", "[target.'cfg(unix)'.dependencies]\nrdkafka = \"1\"\n");
    assert_eq!(places(&[("a/Cargo.toml", &text)]), ["a/Cargo.toml:6"]);
}

#[test]
fn every_package_takes_the_common_lints() {
    let text = "[package]\nname = \"schemas\"\n";
    assert_eq!(places(&[("schemas/Cargo.toml", text)]), ["schemas/Cargo.toml:1"]);
}

#[test]
fn a_common_dependency_that_nobody_uses_is_found() {
    let root = "[workspace.dependencies]\nserde = \"1\"\nrand = \"1\"\n";
    let user = manifest("schemas", "[dependencies]\nserde.workspace = true\n");
    let files = [("Cargo.toml", root), ("schemas/Cargo.toml", &user)];
    assert_eq!(places(&files), ["Cargo.toml:3"]);
}

#[test]
fn configuration_that_cannot_be_parsed_is_found() {
    for (path, text) in [
        ("a.toml", "a = 1\nb = \n"),
        ("a.yaml", "a: 1\nb: [\n"),
        ("a.xml", "<a>\n</b>\n"),
        ("a.json", "{\n1}\n"),
        ("a.properties", "a=1\nb\n"),
        ("a.conf", "a 1\na 2\n"),
    ] {
        let found = places(&[(path, text)]);
        assert_eq!(found.len(), 1, "{path}: {found:?}");
    }
    for (path, text) in [
        ("a.toml", "a = 1\n"),
        ("a.yaml", "a: [1]\n"),
        ("a.xml", "<a/>"),
        ("a.json", "{}"),
        ("tsconfig.json", "{} // with a comment"),
        ("a.properties", "# note\na=1\n"),
        ("a.conf", "log_type error\nlog_type notice\n"),
    ] {
        assert!(places(&[(path, text)]).is_empty(), "{path}");
    }
}

#[test]
fn what_compose_mounts_and_builds_from_exists() {
    let compose = "\
services:
  broker:
    image: broker
    volumes:
      - ./broker.conf:/etc/broker.conf:ro
      - kept:/data
      - type: bind
        source: ../grafana
        target: /grafana
  app:
    build:
      context: ..
      dockerfile: docker/Dockerfile
";
    let complete = [
        ("docker/compose.yaml", compose),
        ("docker/broker.conf", "a 1\n"),
        ("docker/Dockerfile", "FROM x\nCOPY src schemas/ /build/\n"),
        ("grafana/a.txt", ""),
        ("src/a.txt", ""),
        ("schemas/a.txt", ""),
    ];
    assert!(places(&complete).is_empty(), "{:?}", places(&complete));
    let without = |gone: &str| {
        let files = complete.iter().copied().filter(|(path, _)| *path != gone);
        places(&files.collect::<Vec<_>>())
    };
    assert_eq!(without("docker/broker.conf"), ["docker/compose.yaml:5"]);
    assert_eq!(without("grafana/a.txt"), ["docker/compose.yaml:8"]);
    assert_eq!(without("docker/Dockerfile").len(), 1);
    assert_eq!(without("schemas/a.txt"), ["docker/Dockerfile:2"]);
}
