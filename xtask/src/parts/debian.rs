//! Parts that come as Debian or Ubuntu packages. Without the right to install them, the exact command is the error. A
//! daemon that is installed here must not start as a service: tests start their own.

use super::Part;
use crate::{limits, shell};
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Command;

/// A program, the names it may have, and the package that brings it.
struct Program {
    part: Part,
    names: &'static [&'static str],
    package: &'static str,
    /// The service that the package would start.
    service: Option<&'static str>,
}

const fn program(part: Part, names: &'static [&'static str], package: &'static str) -> Program {
    Program {
        part,
        names,
        package,
        service: None,
    }
}

/// librdkafka is compiled from its source with CMake, a C and a C++ compiler.
const PROGRAMS: &[Program] = &[
    program(Part::BuildTools, &["cc", "gcc", "clang"], "gcc"),
    program(Part::BuildTools, &["c++", "g++", "clang++"], "g++"),
    program(Part::BuildTools, &["make"], "make"),
    program(Part::BuildTools, &["cmake"], "cmake"),
    program(Part::BuildTools, &["pkg-config"], "pkg-config"),
    Program {
        service: Some("mosquitto"),
        ..program(Part::Mosquitto, &["mosquitto"], "mosquitto")
    },
    program(Part::Mosquitto, &["mosquitto_sub"], "mosquitto-clients"),
    Program {
        service: Some("redis-server"),
        ..program(Part::Redis, &["redis-server"], "redis-server")
    },
    program(
        Part::Browser,
        &["chromium", "chromium-browser", "google-chrome"],
        "chromium",
    ),
    // Brings the library beside it, which shifts the clock of one process.
    program(Part::ShiftedClock, &["faketime"], "faketime"),
];

/// Installs the packages given as arguments. Meanwhile packages may not start services (Debian's `policy-rc.d`; 101 means
/// "not allowed"). A rule that was there before is left alone, and ours goes away however the script ends.
const INSTALL: &str = r#"
set -e
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 755 "$policy"
fi
apt-get -q update
apt-get -q install --yes --no-install-recommends "$@"
"#;

/// The programs of a part that are not installed, by their usual name.
pub(super) fn missing_programs(part: Part) -> impl Iterator<Item = &'static str> {
    absent(part).map(|program| program.names[0])
}

fn absent(part: Part) -> impl Iterator<Item = &'static Program> {
    PROGRAMS
        .iter()
        .filter(move |program| program.part == part)
        .filter(|program| {
            let found = |name: &str| rig::cache::program(name).is_ok();
            !program.names.iter().any(|name| found(name))
        })
}

/// Installs the packages of what is missing.
pub(super) fn install(parts: &[Part]) -> Result<()> {
    let programs: Vec<_> = parts.iter().flat_map(|part| absent(*part)).collect();
    let packages: Vec<_> = programs.iter().map(|program| program.package).collect();
    let by_hand = format!(
        "sudo apt-get update && sudo apt-get install --no-install-recommends {}",
        packages.join(" ")
    );
    if rig::cache::program("apt-get").is_err() {
        bail!(
            "this machine has no apt-get: install {} in its own way, then run the task again",
            packages.join(", ")
        );
    }
    let Some(prefix) = administrator() else {
        bail!("installing needs an administrator: run `{by_hand}`, then run the task again");
    };
    println!("    {} ({})", packages.join(" "), limits::QUIET_HINT);
    let mut arguments = vec!["-c", INSTALL, "install"];
    arguments.extend(&packages);
    shell::read(&mut with_prefix(&prefix, "sh", &arguments)).with_context(|| format!("by hand: `{by_hand}`"))?;
    let services = programs.iter().filter_map(|program| program.service);
    for service in services.filter(|_| Path::new("/run/systemd/system").exists()) {
        // Freshly installed just now, so nobody relies on it: without this it would start at the next boot.
        shell::run(&mut with_prefix(&prefix, "systemctl", &["disable", service]))?;
    }
    Ok(())
}

/// How to run something as administrator without being asked: nothing in front, or `sudo -n`.
fn administrator() -> Option<Vec<&'static str>> {
    let id = shell::read(Command::new("id").arg("-u")).ok()?;
    if id.trim() == "0" {
        return Some(Vec::new());
    }
    let sudo = vec!["sudo", "-n"];
    shell::succeeds(&mut with_prefix(&sudo, "true", &[])).then_some(sudo)
}

fn with_prefix(prefix: &[&str], program: &str, arguments: &[&str]) -> Command {
    let words: Vec<_> = prefix.iter().copied().chain([program]).collect();
    let mut command = shell::command(words[0]);
    command.args(&words[1..]).args(arguments);
    command
}
