//! Rules about the text of files: module docs, length, unfinished work, names of machines.

use super::Fault;
use super::files::Files;
use crate::limits::SOURCE_LINES_MAX;

/// Files that may be longer than the limit, each with its reason. A file that has become short again must leave.
const LONG_FILES: &[(&str, &str)] = &[];

/// Words that say "not finished". Put together here, so that this file does not contain them.
const UNFINISHED: &[(&str, &str)] = &[
    (concat!("to", "do!("), "finish it"),
    (concat!("unimple", "mented!("), "finish it"),
    (
        concat!("#[", "ignore"),
        "a test that does not run proves nothing: repair or remove it",
    ),
    (
        concat!("FIX", "ME"),
        "repair it, or describe the limitation without the word",
    ),
];

/// The same in TypeScript, and what switches its checks off.
const UNFINISHED_ON_THE_PAGE: &[(&str, &str)] = &[
    (
        concat!("FIX", "ME"),
        "repair it, or describe the limitation without the word",
    ),
    (
        concat!("test", ".skip"),
        "a test that does not run proves nothing: repair or remove it",
    ),
    (concat!("test", ".only"), "the other tests have to run too"),
    (concat!("@ts-", "ignore"), "give it its type"),
    (concat!("@ts-", "nocheck"), "give it its types"),
    (concat!("as ", "any"), "give it its type"),
    (concat!("dangerously", "SetInnerHTML"), "text of devices must stay text"),
    (concat!("inner", "HTML"), "text of devices must stay text"),
];

/// Starts of paths that exist on one machine only.
const MACHINE_PATHS: &[&str] = &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];

/// Package registries. Clients know them by themselves, and a mirror must be able to take their place.
const REGISTRY_HOSTS: &[&str] = &[
    concat!("registry.npm", "js.org"),
    concat!("index.crates", ".io"),
    concat!("static.crates", ".io"),
    concat!("repo.maven", ".apache.org"),
    concat!("repo1.maven", ".org"),
    concat!("deb.debian", ".org"),
    concat!("files.python", "hosted.org"),
    concat!("proxy.golang", ".org"),
];

pub(super) fn faults(files: &Files) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (path, text) in files.ending(".rs") {
        module_docs(path, text, &mut faults);
        length(path, text, LONG_FILES, &mut faults);
        unfinished(path, text, UNFINISHED, &mut faults);
    }
    for (path, text) in page_sources(files) {
        file_comment(path, text, &mut faults);
        length(path, text, LONG_FILES, &mut faults);
        unfinished(path, text, UNFINISHED_ON_THE_PAGE, &mut faults);
    }
    for (path, text) in files.all() {
        // Written by a tool, with addresses that we do not choose.
        if path != "Cargo.lock" {
            names_of_machines(path, text, &mut faults);
        }
    }
    for (path, _) in LONG_FILES {
        if files.text(path).is_none() {
            faults.push(Fault::new(path, 1, "in the list of long files, but gone"));
        }
    }
    faults
}

fn module_docs(path: &str, text: &str, faults: &mut Vec<Fault>) {
    if !text.starts_with("//!") {
        let what = "a module starts with `//!`: what it is for, and what it must never do";
        faults.push(Fault::new(path, 1, what));
    }
}

pub(super) fn length(path: &str, text: &str, allowed: &[(&str, &str)], faults: &mut Vec<Fault>) {
    let lines = text.lines().count();
    let is_allowed = allowed.iter().any(|(file, _)| *file == path);
    if lines > SOURCE_LINES_MAX && !is_allowed {
        let what =
            format!("{lines} lines: divide it, or add it with a reason to the list in `xtask/src/tidy/sources.rs`");
        faults.push(Fault::new(path, lines, what));
    }
    if lines <= SOURCE_LINES_MAX && is_allowed {
        let what = "short again: remove it from the list in `xtask/src/tidy/sources.rs`";
        faults.push(Fault::new(path, lines, what));
    }
}

/// TypeScript and style sheets.
fn page_sources(files: &Files) -> impl Iterator<Item = (&str, &str)> {
    let endings = [".ts", ".tsx", ".css"];
    files
        .all()
        .filter(move |(path, _)| endings.iter().any(|ending| path.ends_with(ending)))
}

fn file_comment(path: &str, text: &str, faults: &mut Vec<Fault>) {
    if !text.starts_with("/*") {
        let what = "a file starts with a comment: what it is for, and what it must never do";
        faults.push(Fault::new(path, 1, what));
    }
}

fn unfinished(path: &str, text: &str, words: &[(&str, &str)], faults: &mut Vec<Fault>) {
    for (number, line) in numbered(text) {
        for (word, advice) in words {
            if line.contains(word) {
                faults.push(Fault::new(path, number, format!("`{word}`: {advice}")));
            }
        }
    }
}

fn names_of_machines(path: &str, text: &str, faults: &mut Vec<Fault>) {
    for (number, line) in numbered(text) {
        for start in MACHINE_PATHS.iter().filter(|start| has_path(line, start)) {
            let what = format!("`{start}` exists on one machine only: use a path from the root folder");
            faults.push(Fault::new(path, number, what));
        }
        for host in REGISTRY_HOSTS.iter().filter(|host| line.contains(**host)) {
            let what = format!("`{host}`: leave the choice of the registry to its client");
            faults.push(Fault::new(path, number, what));
        }
    }
}

/// Whether an absolute path starts so in the line. `a/b/c` is part of a longer one.
fn has_path(line: &str, start: &str) -> bool {
    line.match_indices(start).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|letter| !(letter.is_alphanumeric() || "._-~}".contains(letter)))
    })
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line))
}
