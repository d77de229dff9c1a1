//! The ClickHouse engine as a library, from its npm package. What is unpacked is checked against a checksum in this file
//! and appears in its folder only when it is complete.

use crate::{limits, shell};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};

const PACKAGE: &str = "@chdb/lib-linux-x64-gnu";
const ARCHIVE_SHA256: &str = "c0d32b129e988f2b9a9a31c9141aecf5e1e2453f9a079efc4d36ab8e3f92b2ad";
const LIBRARY_SHA256: &str = "36ad4e999882821ef13cf2d0f52c93f48e6ee1b4498b35a201c23ce4b8d15bf5";
const LIBRARY_BYTES: u64 = 566_330_096;
const LIBRARY: &str = "libchdb.so";

/// Looks at the size only, so that every task can afford it; `doctor` looks at the content.
pub(super) fn missing() -> Option<String> {
    let path = rig::cache::libchdb_folder().join(LIBRARY);
    let bytes = fs::metadata(&path).map_or(0, |metadata| metadata.len());
    (bytes != LIBRARY_BYTES).then(|| path.display().to_string())
}

/// Compares the library's content with the checksum.
pub(crate) fn verify() -> Result<()> {
    let path = rig::cache::libchdb()?;
    check(&path, LIBRARY_SHA256).with_context(|| format!("remove `{}` and run `cargo xtask setup`", path.display()))
}

pub(super) fn fetch() -> Result<()> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu")) {
        bail!(
            "there is no engine library for this kind of machine: run a ClickHouse server and name it under `[clickhouse]`"
        );
    }
    if rig::cache::program("npm").is_err() {
        bail!("`npm` is missing, and the library comes from its registry: install Node.js, then run the task again");
    }
    let folder = rig::cache::libchdb_folder();
    let partial = folder.with_extension("partial");
    // What an interrupted run left behind is worth nothing.
    let _ = fs::remove_dir_all(&partial);
    fs::create_dir_all(&partial).with_context(|| format!("cannot create `{}`", partial.display()))?;
    println!(
        "    {PACKAGE} {} ({} MiB, {})",
        rig::cache::LIBCHDB_VERSION,
        limits::LIBCHDB_DOWNLOAD_MIB,
        limits::QUIET_HINT
    );
    let archive = download(&partial)?;
    check(&archive, ARCHIVE_SHA256).context("the download is not what was published: run again")?;
    unpack(&archive, &partial)?;
    fs::remove_file(&archive).context("cannot remove the archive")?;
    let _ = fs::remove_dir_all(&folder);
    fs::rename(&partial, &folder).with_context(|| format!("cannot create `{}`", folder.display()))
}

fn download(folder: &Path) -> Result<PathBuf> {
    let package = format!("{PACKAGE}@{}", rig::cache::LIBCHDB_VERSION);
    let mut npm = shell::command("npm");
    npm.args(["pack", "--silent", "--pack-destination"])
        .arg(folder)
        .arg(package);
    let name = shell::read(&mut npm)?;
    Ok(folder.join(name.trim()))
}

fn unpack(archive: &Path, folder: &Path) -> Result<()> {
    let mut tar = shell::command("tar");
    tar.arg("-xzf").arg(archive).arg("-C").arg(folder).args([
        "--strip-components=1",
        "--no-same-owner",
        "package/libchdb.so",
    ]);
    shell::run(&mut tar)?;
    check(&folder.join(LIBRARY), LIBRARY_SHA256)
}

fn check(path: &Path, expected: &str) -> Result<()> {
    let sum = shell::read(shell::command("sha256sum").arg(path))?;
    let sum = sum.split_whitespace().next().unwrap_or_default();
    if sum != expected {
        bail!("`{}` has the checksum {sum}, expected {expected}", path.display());
    }
    Ok(())
}
