//! The queries, one file each in `queries/`, as they are sent. Nothing is ever put into their text: values are bound.

/// A query after the definitions that merge sketches and distinct counts, and those that it shares with others.
macro_rules! merging {
    ($file:literal, $($shared:literal),+) => {
        concat!(
            "WITH\n",
            include_str!("../../../schemas/clickhouse/merge.sql"),
            $(",\n", include_str!(concat!("../../queries/shared/", $shared)),)+
            include_str!(concat!("../../queries/", $file))
        )
    };
}

pub(crate) const CELLS: &str = merging!("cells.sql", "value.sql", "in_box.sql");
pub(crate) const LIVE: &str = include_str!("../../queries/live.sql");
pub(crate) const RESOLUTIONS: &str = include_str!("../../queries/resolutions.sql");
pub(crate) const FRESHNESS: &str = include_str!("../../queries/freshness.sql");
pub(crate) const SERIES: &str = merging!("series.sql", "value.sql");
pub(crate) const SERIES_BBOX: &str = merging!("series_bbox.sql", "value.sql", "in_box.sql");
pub(crate) const SERIES_DEVICE: &str = include_str!("../../queries/series_device.sql");
pub(crate) const DEVICES: &str = include_str!("../../queries/devices.sql");
pub(crate) const POSITIONS: &str = include_str!("../../queries/positions.sql");
pub(crate) const NEARBY: &str = include_str!("../../queries/nearby.sql");
pub(crate) const TRACK: &str = include_str!("../../queries/track.sql");
pub(crate) const CATALOG: &str = include_str!("../../queries/catalog.sql");

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs, path::Path};

    /// Tables and views that hold what belongs to tenants.
    const SOURCES: [&str; 4] = ["rollup_log", "measurement_log", "device_log", "devices"];

    /// What belongs to nobody: how far log partitions have come.
    const BOOKS: &str = "ledger_log";

    /// What queries share and read by name: it binds the tenant itself.
    const SHARED: [&str; 1] = ["in_box"];

    /// All that queries are made of.
    fn queries() -> BTreeMap<String, String> {
        folder("queries").into_iter().chain(folder("queries/shared")).collect()
    }

    fn folder(name: &str) -> BTreeMap<String, String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let text = |path: &Path| fs::read_to_string(path).unwrap();
        files
            .filter(|path| path.is_file())
            .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), text(&path)))
            .collect()
    }

    fn code(sql: &str) -> String {
        let lines = sql.lines().filter(|line| !line.trim_start().starts_with("--"));
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn every_read_of_a_table_binds_the_tenant() {
        let queries = queries();
        assert!(queries.len() >= 11, "{:?}", queries.keys());
        for (name, sql) in queries {
            let sql = code(&sql);
            let mut reads = 0;
            for (position, _) in sql.match_indices("FROM ") {
                let rest = &sql[position + 5..];
                let source: String = rest.chars().take_while(|letter| !letter.is_whitespace()).collect();
                if source.starts_with('(') || SHARED.contains(&source.trim_end_matches(')')) {
                    continue;
                }
                if source == BOOKS {
                    assert_eq!(name, "freshness.sql");
                    continue;
                }
                assert!(SOURCES.contains(&source.as_str()), "{name} reads `{source}`");
                let condition = rest.split_once("WHERE ").expect("every read has a condition").1;
                let alias = if source == "devices" { "devices" } else { "log" };
                let wanted = format!("({{tenant:String}} = '' OR {alias}.tenant = {{tenant:String}})");
                assert!(condition.starts_with(&wanted), "{name}: {condition}");
                reads += 1;
            }
            assert!(!sql.contains(" JOIN "), "{name}");
            let is_expression = name == "value.sql";
            assert_eq!(reads == 0, is_expression, "{name}");
        }
    }

    #[test]
    fn queries_have_no_other_holes_than_bound_values() {
        for (name, sql) in queries() {
            for (position, _) in code(&sql).match_indices('{') {
                let hole = code(&sql)[position + 1..].split_once('}').unwrap().0.to_owned();
                let (value, kind) = hole.split_once(':').unwrap_or_else(|| panic!("{name}: {{{hole}}}"));
                assert!(
                    value
                        .bytes()
                        .all(|letter| letter.is_ascii_lowercase() || letter == b'_'),
                    "{name}: {hole}"
                );
                assert!(
                    kind.bytes()
                        .all(|letter| letter.is_ascii_alphanumeric() || b"()".contains(&letter)),
                    "{name}: {hole}"
                );
            }
        }
    }

    #[test]
    fn only_files_are_sent() {
        for name in queries().keys() {
            assert!(
                include_str!("sql.rs").contains(&format!("\"{name}\""))
                    || include_str!("sql.rs").contains(&format!("queries/{name}\"")),
                "{name}"
            );
        }
        for (name, source) in ["src/api", "src/live", "src/near"].into_iter().flat_map(folder) {
            for part in source.split(".query(").skip(1).filter(|_| name != "sql.rs") {
                let is_ours = part.starts_with("sql::") || part.starts_with("\"SELECT 1\"");
                assert!(is_ours, "{name}: .query({}", part.lines().next().unwrap_or_default());
            }
            let elsewhere = source.contains("query_raw(") && name != "store.rs" && name != "sql.rs";
            assert!(!elsewhere, "{name}");
        }
    }
}
