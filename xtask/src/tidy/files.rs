//! The files that belong to the repository, as text. Files that git ignores are not ours to judge.

use crate::shell;
use anyhow::{Context, Result};
use std::collections::BTreeMap;

/// Path from the root folder, and text. A file that is no text has none, and only its existence counts.
pub(crate) struct Files {
    texts: BTreeMap<String, String>,
}

impl Files {
    /// What git tracks or would track: a rule is to be heard before the commit.
    pub(crate) fn of_the_repository() -> Result<Self> {
        let mut git = shell::command("git");
        git.args(["ls-files", "-z", "--cached", "--others"]);
        let list = shell::read(git.arg("--exclude-standard"))?;
        let root = shell::root();
        let mut texts = BTreeMap::new();
        for path in list.split('\0').filter(|path| !path.is_empty()) {
            let full = root.join(path);
            // Removed, but not committed yet.
            if !full.is_file() {
                continue;
            }
            let bytes = std::fs::read(&full).with_context(|| format!("cannot read `{}`", full.display()))?;
            texts.insert(path.to_owned(), String::from_utf8(bytes).unwrap_or_default());
        }
        Ok(Self { texts })
    }

    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let texts = files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
            .collect();
        Self { texts }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// All files whose name ends so.
    pub(super) fn ending<'a>(&'a self, end: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.all().filter(move |(path, _)| path.ends_with(end))
    }

    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    /// Whether a file or a folder with files has this path.
    pub(super) fn has(&self, path: &str) -> bool {
        let folder = format!("{path}/");
        self.texts.contains_key(path) || self.texts.keys().any(|file| file.starts_with(&folder))
    }
}
