//! Migrations: golden checksums, placeholders, and statements that can be repeated.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use super::*;

#[test]
fn released_migrations_never_change() {
    let listed: String = MIGRATIONS
        .iter()
        .map(|migration| format!("{} {}\n", migration.checksum(), migration.name))
        .collect();
    let golden = include_str!("../../golden/clickhouse_migrations.txt");
    assert_eq!(
        listed, golden,
        "a migration that users may have applied was edited: write a new one; before the first release, update \
         schemas/golden/clickhouse_migrations.txt"
    );
}

#[test]
fn versions_rise_without_gaps_and_names_begin_with_them() {
    for (migration, version) in MIGRATIONS.iter().zip(1..) {
        assert_eq!(migration.version, version);
        assert!(
            migration.name.starts_with(&format!("{version:04}_")),
            "{}",
            migration.name
        );
    }
}

#[test]
fn every_statement_can_be_repeated() {
    for migration in MIGRATIONS {
        let statements = migration.statements("meridian", &Engines::Plain).unwrap();
        assert!(!statements.is_empty(), "{}", migration.name);
        for statement in statements {
            let code = statement.lines().find(|line| !line.starts_with("--")).unwrap();
            let can_be_repeated = code.contains(" IF NOT EXISTS ") || code.starts_with("CREATE OR REPLACE VIEW ");
            assert!(can_be_repeated, "{code}");
        }
    }
}

#[test]
fn plain_and_replicated_tables_differ_in_the_engine_only() {
    let template = "CREATE TABLE {database}.t{on_cluster} ENGINE = {engine_replacing t version}";
    assert_eq!(
        render(template, "meridian", &Engines::Plain).unwrap(),
        "CREATE TABLE meridian.t ENGINE = ReplacingMergeTree(version)"
    );
    let cluster = Engines::Replicated {
        cluster: Some("main".to_owned()),
    };
    assert_eq!(
        render(template, "meridian", &cluster).unwrap(),
        "CREATE TABLE meridian.t ON CLUSTER main ENGINE = \
         ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/meridian/t', '{replica}', version)"
    );
}

#[test]
fn names_that_would_be_sql_are_refused() {
    for name in ["", "1a", "a b", "a;DROP", "a`", "größe"] {
        assert_eq!(
            render("{database}", name, &Engines::Plain),
            Err(RenderError::Name(name.to_owned()))
        );
    }
}

#[test]
fn unknown_placeholders_are_refused() {
    for template in ["{nonsense}", "{engine_replacing}", "{open"] {
        assert!(
            matches!(render(template, "a", &Engines::Plain), Err(RenderError::Placeholder(_))),
            "{template}"
        );
    }
}

#[test]
fn a_semicolon_inside_a_line_does_not_split() {
    assert_eq!(
        split_statements("-- a\nSELECT ';';\n\n-- b; c\nSELECT 2;\n-- end\n"),
        ["-- a\nSELECT ';'", "-- b; c\nSELECT 2"]
    );
}
