//! Configuration files can be parsed, and what the compose file mounts or builds from exists. There is no container engine
//! on most machines that develop Meridian, so a slip here would otherwise be found by a user.

use super::Fault;
use super::files::Files;
use saphyr::{LoadableYamlNode, Yaml};
use std::collections::BTreeSet;

/// Keys that Mosquitto and Redis accept more than once.
const REPEATABLE: &[&str] = &["log_type", "log_dest", "listener", "save"];

pub(super) fn faults(files: &Files) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (path, text) in files.all() {
        let parsed = match path.rsplit_once('.').map(|(_, ending)| ending) {
            Some("toml") => toml(text),
            Some("xml") => xml(text),
            Some("yaml" | "yml") => yaml(text),
            Some("json") if !allows_comments(path) => json(text),
            Some("properties") => key_values(text, '='),
            Some("conf") => key_values(text, ' '),
            _ => Ok(()),
        };
        if let Err((line, what)) = parsed {
            faults.push(Fault::new(path, line, what));
        }
    }
    for (path, text) in files.ending("compose.yaml") {
        compose(files, path, text, &mut faults);
    }
    for (path, text) in files.ending("Dockerfile") {
        dockerfile(files, path, text, &mut faults);
    }
    faults
}

type Parsed = Result<(), (usize, String)>;

fn toml(text: &str) -> Parsed {
    text.parse::<toml::Table>().map(drop).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let line = text[..at.min(text.len())].lines().count().max(1);
        (line, error.message().to_owned())
    })
}

fn xml(text: &str) -> Parsed {
    roxmltree::Document::parse(text)
        .map(drop)
        .map_err(|error| (error.pos().row as usize, error.to_string()))
}

fn yaml(text: &str) -> Parsed {
    Yaml::load_from_str(text)
        .map(drop)
        .map_err(|error| (error.marker().line(), error.to_string()))
}

fn json(text: &str) -> Parsed {
    serde_json::from_str::<serde_json::Value>(text)
        .map(drop)
        .map_err(|error| (error.line(), error.to_string()))
}

/// The TypeScript compiler and editors read JSON with comments.
fn allows_comments(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.starts_with("tsconfig") || path.contains(".vscode/")
}

/// Lines of key and value, none given twice.
fn key_values(text: &str, separator: char) -> Parsed {
    let mut keys = BTreeSet::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((key, _)) = line.split_once(separator) else {
            return Err((index + 1, format!("no `{separator}` between key and value")));
        };
        if !keys.insert(key) && !REPEATABLE.contains(&key) {
            return Err((index + 1, format!("`{key}` is set twice")));
        }
    }
    Ok(())
}

fn compose(files: &Files, path: &str, text: &str, faults: &mut Vec<Fault>) {
    let documents = Yaml::load_from_str(text).unwrap_or_default();
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let services = documents
        .first()
        .and_then(|document| document.as_mapping_get("services"))
        .and_then(Yaml::as_mapping);
    for service in services.into_iter().flat_map(|services| services.values()) {
        for source in sources(service) {
            let wanted = join(folder, &source);
            if !files.has(&wanted) {
                let line = text.lines().position(|line| line.contains(&source));
                let what = format!("`{source}` does not exist (looked for `{wanted}`)");
                faults.push(Fault::new(path, line.map_or(1, |index| index + 1), what));
            }
        }
    }
}

/// Files and folders of the host that a service needs, relative to the compose file.
fn sources(service: &Yaml<'_>) -> Vec<String> {
    let mut sources = Vec::new();
    let volumes = service.as_mapping_get("volumes").and_then(Yaml::as_sequence);
    for volume in volumes.into_iter().flatten() {
        let source = match volume.as_str() {
            Some(short) => short.split(':').next(),
            None => volume.as_mapping_get("source").and_then(Yaml::as_str),
        };
        // A name without a leading dot is a volume that the engine keeps.
        sources.extend(source.filter(|source| source.starts_with('.')).map(str::to_owned));
    }
    if let Some(build) = service.as_mapping_get("build") {
        let text = |key| build.as_mapping_get(key).and_then(Yaml::as_str);
        let context = text("context").unwrap_or(".");
        let file = text("dockerfile").unwrap_or("Dockerfile");
        sources.push(format!("{context}/{file}"));
    }
    sources
}

/// What a Dockerfile copies from the repository exists.
fn dockerfile(files: &Files, path: &str, text: &str, faults: &mut Vec<Fault>) {
    for (index, line) in text.lines().enumerate() {
        let mut words = line.split_whitespace();
        if words.next() != Some("COPY") || line.contains("--from=") {
            continue;
        }
        let words: Vec<_> = words.filter(|word| !word.starts_with("--")).collect();
        let Some((_target, sources)) = words.split_last() else {
            continue;
        };
        for source in sources.iter().filter(|source| **source != ".") {
            if !files.has(source.trim_end_matches('/')) {
                let what = format!("`{source}` does not exist");
                faults.push(Fault::new(path, index + 1, what));
            }
        }
    }
}

/// `docker` and `../a/./b` give `a/b`.
fn join(folder: &str, relative: &str) -> String {
    let mut parts: Vec<_> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in relative.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    parts.join("/")
}
