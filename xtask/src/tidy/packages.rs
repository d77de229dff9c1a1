//! Rules about packages: dependencies point one way, a library with a single gate is used behind that gate only, every
//! package takes the common lints, and nothing in the common list of dependencies is left over.

use super::Fault;
use super::files::Files;
use toml::{Table, Value};

/// Packages that know nothing of the project.
const GROUND: &[&str] = &["schemas", "platform"];
/// Packages that only know the ground.
const SEAMS: &[&str] = &["eventlog", "geocache", "embedded"];
/// Stations of an event's path. They meet in the log, never in code.
const ROLES: &[&str] = &["ingest", "processors", "dashboards", "loadtest"];
const BINARY: &str = "meridian";
/// Test support: anybody's tests may use it, the product may not.
const RIG: &str = "rig";
/// The whole path in one thread, for tests.
const SIMULATION: &str = "simulated";
/// The whole path in processes of their own, with faults between them, for tests.
const CHAOS: &str = "chaos";
const TASKS: &str = "xtask";
/// Fuzz targets, in a workspace of their own.
const FUZZ: &str = "schemas-fuzz";

/// Libraries with one gate: where the product may use them, and whether tests elsewhere may.
const GATES: &[(&str, &[&str], bool)] = &[
    ("rdkafka", &["eventlog"], false),
    ("redis", &["geocache"], false),
    ("rumqttc", &["ingest", "loadtest"], true),
];

struct Package<'a> {
    path: &'a str,
    text: &'a str,
    name: String,
    manifest: Table,
}

pub(super) fn faults(files: &Files) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut packages = Vec::new();
    for (path, text) in files.ending("Cargo.toml") {
        // A manifest that cannot be parsed is reported with the other configuration files.
        let Ok(manifest) = text.parse::<Table>() else {
            continue;
        };
        let name = manifest.get("package").and_then(|package| package.get("name"));
        if let Some(name) = name.and_then(Value::as_str).map(str::to_owned) {
            packages.push(Package {
                path,
                text,
                name,
                manifest,
            });
        }
    }
    for package in &packages {
        directions(package, &packages, &mut faults);
        gates(package, &mut faults);
        lints(package, &mut faults);
    }
    left_over(files, &packages, &mut faults);
    faults
}

fn directions(package: &Package<'_>, all: &[Package<'_>], faults: &mut Vec<Fault>) {
    let is_ours = |name: &str| all.iter().any(|other| other.name == name);
    let Some(allowed) = allowed(&package.name) else {
        let what = format!(
            "`{}` has no place among the packages: give it one in `xtask/src/tidy/packages.rs` and in the architecture page",
            package.name
        );
        faults.push(Fault::new(package.path, 1, what));
        return;
    };
    for dependency in dependencies(&package.manifest) {
        let name = dependency.name.as_str();
        let for_tests = dependency.only_for_tests && (name == RIG || name == CHAOS);
        if is_ours(name) && name != package.name && !for_tests && !allowed.contains(&name) {
            let what = format!(
                "`{}` may not depend on `{name}`: dependencies point one way (see docs/ARCHITECTURE.md)",
                package.name
            );
            faults.push(Fault::new(package.path, line_of(package.text, &dependency.name), what));
        }
    }
}

/// What a package may depend on, or `None` for a package that nobody has placed yet.
fn allowed(name: &str) -> Option<Vec<&'static str>> {
    let groups: &[&[&str]] = match name {
        RIG => &[],
        TASKS => &[&[RIG]],
        SIMULATION => &[GROUND, &["eventlog", "ingest", "processors"]],
        CHAOS => &[GROUND, &[RIG, "loadtest"]],
        FUZZ => &[&["schemas"]],
        BINARY => &[GROUND, SEAMS, ROLES],
        _ if GROUND.contains(&name) => &[],
        _ if SEAMS.contains(&name) => &[GROUND],
        _ if ROLES.contains(&name) => &[GROUND, SEAMS],
        _ => return None,
    };
    Some(groups.concat())
}

fn gates(package: &Package<'_>, faults: &mut Vec<Fault>) {
    for dependency in dependencies(&package.manifest) {
        for (library, homes, tests_may) in GATES {
            let at_home = homes.contains(&package.name.as_str());
            let in_tests = *tests_may && dependency.only_for_tests;
            if dependency.name == *library && !at_home && !in_tests {
                let what = format!("only {} may use `{library}`", homes.join(" and "));
                faults.push(Fault::new(package.path, line_of(package.text, &dependency.name), what));
            }
        }
    }
}

fn lints(package: &Package<'_>, faults: &mut Vec<Fault>) {
    let inherits = package
        .manifest
        .get("lints")
        .and_then(|lints| lints.get("workspace"))
        .and_then(Value::as_bool);
    if inherits != Some(true) {
        let what = "add `[lints]` with `workspace = true`";
        faults.push(Fault::new(package.path, 1, what));
    }
}

/// Every entry of the common list is used by some package.
fn left_over(files: &Files, packages: &[Package<'_>], faults: &mut Vec<Fault>) {
    let root = "Cargo.toml";
    let Some(Ok(manifest)) = files.text(root).map(str::parse::<Table>) else {
        return;
    };
    let common = manifest
        .get("workspace")
        .and_then(|workspace| workspace.get("dependencies"))
        .and_then(Value::as_table);
    for name in common.into_iter().flat_map(Table::keys) {
        let is_used = packages
            .iter()
            .any(|package| dependencies(&package.manifest).any(|dependency| dependency.name == *name));
        if !is_used {
            let line = line_of(files.text(root).unwrap_or_default(), name);
            let what = format!("no package uses `{name}`: remove it from the common list");
            faults.push(Fault::new(root, line, what));
        }
    }
}

struct Dependency {
    name: String,
    only_for_tests: bool,
}

/// All dependencies of a manifest, those for single platforms included.
fn dependencies(manifest: &Table) -> impl Iterator<Item = Dependency> {
    let targets = manifest.get("target").and_then(Value::as_table);
    let tables =
        std::iter::once(manifest).chain(targets.into_iter().flat_map(Table::values).filter_map(Value::as_table));
    tables.flat_map(|table| {
        let kinds = [
            ("dependencies", false),
            ("build-dependencies", false),
            ("dev-dependencies", true),
        ];
        kinds.into_iter().flat_map(move |(kind, only_for_tests)| {
            let names = table.get(kind).and_then(Value::as_table);
            names.into_iter().flat_map(Table::keys).map(move |name| Dependency {
                name: name.clone(),
                only_for_tests,
            })
        })
    })
}

fn line_of(text: &str, name: &str) -> usize {
    let found = text.lines().position(|line| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with([' ', '=', '.']))
    });
    found.map_or(1, |index| index + 1)
}
