//! `cargo xtask web`: builds the page of the dashboard into `dashboards/web/dist`, when its sources have changed. The
//! packages that it is built with lie in the cache folder, one folder for each lock file, so that clones share them.

use crate::progress::Progress;
use crate::{cargo, parts, shell};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fs;
use std::hash::Hasher;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the page lives, from the root folder.
const FOLDER: &str = "dashboards/web";

/// What the built page was made of; beside it, so that both go together.
const STAMP: &str = "dist/.sources";

pub(crate) fn run() -> Result<()> {
    let mut progress = Progress::new();
    parts::ensure(&[parts::Part::WebPackages], &mut progress)?;
    ensure(&mut progress)?;
    progress.finish("the page is built; it is part of the next `cargo build`");
    Ok(())
}

/// Builds the page if it is not there, or is of other sources.
pub(crate) fn ensure(progress: &mut Progress) -> Result<()> {
    link_packages()?;
    let stamp = folder().join(STAMP);
    let files = sources()?;
    let sources = fingerprint(&files)?;
    if fs::read_to_string(&stamp).is_ok_and(|built| built == sources) {
        return be_newest(&stamp, files.keys());
    }
    progress.step("build the web dashboard", || {
        shell::run(npm().args(["run", "--silent", "build"]))?;
        fs::write(&stamp, sources).with_context(|| format!("cannot write `{}`", stamp.display()))
    })
}

/// `cargo build` warns of sources that are newer than the page, and git gives those that go and come back the same a new
/// time.
fn be_newest<'file>(stamp: &Path, mut sources: impl Iterator<Item = &'file PathBuf>) -> Result<()> {
    let changed = |path: &Path| fs::metadata(path).and_then(|found| found.modified());
    let failed = || format!("cannot read or write `{}`", stamp.display());
    let built = changed(stamp).with_context(failed)?;
    if sources.any(|path| changed(path).is_ok_and(|changed| changed > built)) {
        let file = fs::File::options().write(true).open(stamp).with_context(failed)?;
        file.set_modified(std::time::SystemTime::now()).with_context(failed)?;
    }
    Ok(())
}

/// Format and types of the page.
pub(crate) fn style_checks(progress: &mut Progress) -> Result<()> {
    link_packages()?;
    for (name, script) in [
        ("formatting of the page", "format:check"),
        ("types of the page", "types"),
    ] {
        progress.check(name, || shell::run(npm().args(["run", "--silent", script])));
    }
    Ok(())
}

/// What needs no browser.
pub(crate) fn unit_tests() -> Result<()> {
    shell::run(npm().args(["run", "--silent", "test"]))
}

/// The page in a real browser, on the real program.
pub(crate) fn browser_tests(program: &Path) -> Result<()> {
    shell::run(in_browser(program)?.args(["run", "--silent", "test:browser"]))
}

/// `cargo xtask look [pictures|first-paint]`: the page of a release build as people see it.
pub(crate) fn look(names: &[String]) -> Result<()> {
    let mut progress = Progress::new();
    parts::ensure(parts::Part::LOOK, &mut progress)?;
    ensure(&mut progress)?;
    let program = cargo::build_release(&mut progress)?;
    progress.step("look at the page", || {
        let mut command = in_browser(&program)?;
        shell::run(command.args(["run", "--silent", "look", "--"]).args(names))
    })?;
    progress.finish("pictures are in `docs/images`: look at each of them before you commit it");
    Ok(())
}

/// `npm`, told which program and which browser to take.
fn in_browser(program: &Path) -> Result<Command> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let Some(browser) = names.iter().find_map(|name| rig::cache::program(name).ok()) else {
        bail!("no Chromium: run `cargo xtask setup`");
    };
    let mut command = npm();
    command.env("MERIDIAN_PROGRAM", program).env("CHROMIUM", browser);
    // Bare machines call their language `C`, which no browser knows.
    command.env("LANG", "en_US.UTF-8");
    Ok(command)
}

fn npm() -> Command {
    let mut command = shell::command("npm");
    command.current_dir(folder());
    command
}

fn folder() -> PathBuf {
    shell::root().join(FOLDER)
}

/// Where the packages of this lock file lie, fetched or not.
pub(crate) fn packages_folder() -> PathBuf {
    let lock = fs::read(folder().join("package-lock.json")).unwrap_or_default();
    let name = format!("{:016x}", hash(&lock));
    rig::cache::folder().join("web").join(name)
}

/// Fetches the packages; the folder appears only when it is complete.
pub(crate) fn fetch_packages() -> Result<()> {
    let target = packages_folder();
    let partial = target.with_extension("partial");
    // What an interrupted run left behind is worth nothing.
    let _ = fs::remove_dir_all(&partial);
    fs::create_dir_all(&partial).with_context(|| format!("cannot create `{}`", partial.display()))?;
    for name in ["package.json", "package-lock.json", ".npmrc"] {
        let source = folder().join(name);
        fs::copy(&source, partial.join(name)).with_context(|| format!("cannot copy `{}`", source.display()))?;
    }
    let mut npm = shell::command("npm");
    // Nothing of a package runs on its own account.
    npm.current_dir(&partial)
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
    shell::read(&mut npm)?;
    fs::rename(&partial, &target).with_context(|| format!("cannot create `{}`", target.display()))
}

/// Makes `node_modules` a link to the packages. A folder that somebody installed there is left alone.
fn link_packages() -> Result<()> {
    let link = folder().join("node_modules");
    let packages = packages_folder().join("node_modules");
    let found = fs::read_link(&link);
    if found.as_ref().is_ok_and(|there| *there == packages) || (found.is_err() && link.is_dir()) {
        return Ok(());
    }
    let _ = fs::remove_file(&link);
    std::os::unix::fs::symlink(&packages, &link).with_context(|| format!("cannot link `{}`", link.display()))
}

/// Every file that the built page depends on.
fn sources() -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).with_context(|| format!("cannot read `{}`", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                if !["node_modules", "dist", "test", "browser"].contains(&name.as_str()) {
                    folders.push(path);
                }
            } else {
                let bytes = fs::read(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
                found.insert(path, bytes);
            }
        }
    }
    Ok(found)
}

/// Tells one set of sources from another.
fn fingerprint(sources: &BTreeMap<PathBuf, Vec<u8>>) -> Result<String> {
    let root = folder();
    let mut all = Vec::new();
    for (path, bytes) in sources {
        let name = path.strip_prefix(&root).context("sources lie in the folder")?;
        all.extend_from_slice(format!("{} {}\n", name.display(), bytes.len()).as_bytes());
        all.extend_from_slice(bytes);
    }
    Ok(format!("{:016x}\n", hash(&all)))
}

/// The same for the same bytes with one build of this program, which is all that is asked of it: at worst something is
/// done again.
fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = std::collections::hash_map::DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn a_page_of_the_same_sources_is_newer_than_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let [stamp, source] = ["stamp", "source"].map(|name| folder.path().join(name));
        let now = SystemTime::now();
        let write = |path: &Path, ago: u64| {
            fs::write(path, "text").unwrap();
            let file = fs::File::options().write(true).open(path).unwrap();
            file.set_modified(now - Duration::from_secs(ago)).unwrap();
        };
        let changed = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
        write(&source, 20);
        write(&stamp, 30);
        be_newest(&stamp, [source.clone()].iter()).unwrap();
        assert!(changed(&stamp) > changed(&source));
        assert_eq!(fs::read_to_string(&stamp).unwrap(), "text");
        write(&stamp, 10);
        let before = changed(&stamp);
        be_newest(&stamp, [source].iter()).unwrap();
        assert_eq!(changed(&stamp), before, "nothing is built for nothing");
    }
}
