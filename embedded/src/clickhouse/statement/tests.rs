//! How statements are told apart.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use super::{Refusal, Statement, parse};

fn insert(input: &str) -> (String, String, String) {
    match parse(input.as_bytes()) {
        Ok(Statement::Insert {
            text_end,
            format,
            data_start,
        }) => (input[..text_end].to_owned(), format, input[data_start..].to_owned()),
        other => panic!("`{input}` is {other:?}"),
    }
}

fn check_insert(input: &str, text: &str, format: &str, data: &str) {
    assert_eq!(insert(input), (text.to_owned(), format.to_owned(), data.to_owned()));
}

fn check_rows(input: &str, format: Option<&str>) {
    match parse(input.as_bytes()) {
        Ok(Statement::Select { format: found, .. }) => assert_eq!(found.as_deref(), format, "`{input}`"),
        other => panic!("`{input}` is {other:?}"),
    }
}

fn check_other(input: &str, format: Option<&str>) {
    match parse(input.as_bytes()) {
        Ok(Statement::Other { format: found, .. }) => assert_eq!(found.as_deref(), format, "`{input}`"),
        other => panic!("`{input}` is {other:?}"),
    }
}

fn check_refused(input: &str, refusal: Refusal) {
    assert_eq!(parse(input.as_bytes()), Err(refusal), "`{input}`");
}

#[test]
fn insert_data_begins_after_the_format_name_and_one_line_break() {
    check_insert("INSERT INTO t FORMAT CSV\n1,2\n", "INSERT INTO t", "CSV", "1,2\n");
    check_insert("INSERT INTO t FORMAT CSV\r\n\n1", "INSERT INTO t", "CSV", "\n1");
    check_insert(
        "insert into d.t (a, b) settings x=1 format JSONEachRow {\"a\":1}",
        "insert into d.t (a, b) settings x=1",
        "JSONEachRow",
        "{\"a\":1}",
    );
    check_insert("INSERT INTO t FORMAT RowBinary", "INSERT INTO t", "RowBinary", "");
    check_insert(
        "INSERT INTO t FORMAT RowBinary\n\n\n",
        "INSERT INTO t",
        "RowBinary",
        "\n\n",
    );
}

#[test]
fn insert_values_take_all_that_follows() {
    check_insert(
        "INSERT INTO t VALUES (1,'a;b'), (2,'''')",
        "INSERT INTO t",
        "Values",
        " (1,'a;b'), (2,'''')",
    );
}

#[test]
fn insert_targets_may_be_named_like_keywords() {
    check_insert("INSERT INTO values VALUES (1)", "INSERT INTO values", "Values", " (1)");
    check_insert(
        "INSERT INTO db.format FORMAT CSV\n1",
        "INSERT INTO db.format",
        "CSV",
        "1",
    );
    check_insert(
        "INSERT INTO `format` (`values`) FORMAT CSV\n1",
        "INSERT INTO `format` (`values`)",
        "CSV",
        "1",
    );
    check_insert(
        "INSERT INTO FUNCTION null('a Int8') FORMAT CSV\n1",
        "INSERT INTO FUNCTION null('a Int8')",
        "CSV",
        "1",
    );
    check_insert(
        "INSERT INTO TABLE t /* FORMAT no */ FORMAT CSV\n1",
        "INSERT INTO TABLE t",
        "CSV",
        "1",
    );
}

#[test]
fn insert_from_select_has_no_data() {
    check_other("INSERT INTO t SELECT 1 FORMAT Null", Some("Null"));
    check_other("INSERT INTO t (a) WITH 1 AS x SELECT x", None);
}

#[test]
fn output_format_is_the_last_clause_outside_brackets_and_quotes() {
    check_rows("SELECT 1", None);
    check_rows("SELECT 1 FORMAT JSON", Some("JSON"));
    check_rows("SELECT 1 FORMAT JSON SETTINGS max_threads = 1;", Some("JSON"));
    check_rows("SELECT 1 SETTINGS max_threads = 1 FORMAT JSON -- the end", Some("JSON"));
    check_rows("SELECT 'FORMAT JSON', \"FORMAT x\" FROM (SELECT 1 AS format)", None);
    check_rows("SELECT format FROM t", None);
    check_rows("SELECT format x FROM t", None);
    check_rows("WITH 1 AS x SELECT x FORMAT Native", Some("Native"));
    check_rows("(SELECT 1) UNION ALL (SELECT 2) FORMAT CSV", Some("CSV"));
    check_other("SHOW TABLES FORMAT JSON", Some("JSON"));
}

#[test]
fn what_a_server_refuses_is_refused() {
    check_refused("  -- nothing\n /* at all */ ", Refusal::Empty);
    check_refused("SELECT 1; SELECT 2", Refusal::Several);
    check_refused("exit", Refusal::LoneWord);
    check_refused("quit;", Refusal::LoneWord);
    check_refused("SELECT 1 INTO OUTFILE '/tmp/x'", Refusal::IntoOutfile);
    check_refused(
        "INSERT INTO t FROM INFILE '/etc/passwd' FORMAT CSV",
        Refusal::FromInfile,
    );
}

#[test]
fn semicolons_in_quotes_and_at_the_end_are_no_second_statement() {
    check_rows("SELECT ';', `a;b`, $x$ ; $x$ FROM t;", None);
    check_rows("SELECT 1 ; ; -- done", None);
    check_rows("SELECT 'it''s \\' ;' ;", None);
}
