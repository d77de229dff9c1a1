//! The pages of `docs/reference/` that follow from the program itself. Stale pages fail this test; it writes them anew
//! when `MERIDIAN_WRITE_REFERENCE` is set.

use std::{fmt::Write, fs, path::Path};

use clap::CommandFactory;
use platform::telemetry::MetricKind;

use crate::{cli::CommandLine, config::default_text, process::METRICS};

/// Columns of help texts, whatever the terminal of who runs the test.
const WIDTH: usize = 100;

fn check(name: &str, expected: &str) {
    // Asked at run time: a build may be shared by several checkouts.
    let root = std::env::var_os("CARGO_MANIFEST_DIR").expect("tests are run by cargo");
    let path = Path::new(&root).join("docs/reference").join(name);
    if std::env::var_os("MERIDIAN_WRITE_REFERENCE").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, expected).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    let is_current = written == expected;
    assert!(
        is_current,
        "docs/reference/{name} is stale: set MERIDIAN_WRITE_REFERENCE=1 and run this test again"
    );
}

#[test]
fn the_page_about_configuration_is_current() {
    let page = format!(
        "# Configuration\n\nWritten by the program: this is what `meridian config --defaults` prints. Sources, later ones win: \
         these defaults, files given with `--config`, environment variables `MERIDIAN__SECTION__KEY`, options of commands. \
         `meridian validate` checks all of it at once, `meridian config --effective` shows what is in force and where each \
         value comes from.\n\n```toml\n{}```\n",
        default_text()
    );
    check("configuration.md", &page);
}

#[test]
fn the_page_about_commands_is_current() {
    let mut page = "# Commands\n\nWritten by the program: the help of every command. Exit codes: 0 success, 1 runtime \
                    failure, 2 usage or configuration error.\n"
        .to_owned();
    let mut command = CommandLine::command().term_width(WIDTH);
    command.build();
    describe(&mut command, "meridian", &mut page);
    check("commands.md", &page);
}

#[test]
fn the_page_about_metrics_is_current() {
    let mut page =
        "# Metrics\n\nWritten by the program: every metric of `/metrics`, beside those of the process itself. Labels \
                    with open values are bounded: tenants beyond the first hundred share `_other`.\n\n| name | kind | \
                    what it says |\n|---|---|---|\n"
            .to_owned();
    for spec in METRICS.concat() {
        let kind = match spec.kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram(_) => "histogram",
        };
        writeln!(page, "| `{}` | {kind} | {} |", spec.name, spec.help).unwrap();
    }
    check("metrics.md", &page);
}

fn describe(command: &mut clap::Command, path: &str, page: &mut String) {
    let help = command.render_long_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    writeln!(page, "\n## `{path}`\n\n```text\n{}\n```", lines.join("\n").trim_end()).unwrap();
    let inner: Vec<String> = command
        .get_subcommands()
        .map(|inner| inner.get_name().to_owned())
        .collect();
    for name in inner.iter().filter(|name| *name != "help") {
        let inner = command.find_subcommand_mut(name).expect("it was just listed");
        describe(inner, &format!("{path} {name}"), page);
    }
}
