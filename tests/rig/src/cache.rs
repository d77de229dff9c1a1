//! Where `cargo xtask setup` keeps what it fetched, and where tests find it. Looks only; it must never fetch anything.

use crate::RigError;
use std::env;
use std::path::{Path, PathBuf};

/// The project's cache folder: `$MERIDIAN_CACHE_DIR`, else `$XDG_CACHE_HOME/meridian`, else `~/.cache/meridian`.
#[must_use]
pub fn folder() -> PathBuf {
    let named = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    if let Some(own) = named("MERIDIAN_CACHE_DIR") {
        return own.into();
    }
    if let Some(shared) = named("XDG_CACHE_HOME") {
        return Path::new(&shared).join("meridian");
    }
    let home = named("HOME").unwrap_or_else(|| ".".into());
    Path::new(&home).join(".cache/meridian")
}

/// The ClickHouse engine library, if it has been fetched.
///
/// # Errors
/// Names the missing part and the command that fetches it.
pub fn libchdb() -> Result<PathBuf, RigError> {
    let path = libchdb_folder().join("libchdb.so");
    if path.is_file() {
        Ok(path)
    } else {
        Err(RigError::MissingPart {
            part: path.display().to_string(),
        })
    }
}

/// Version of the ClickHouse engine library that the project is tested with.
pub const LIBCHDB_VERSION: &str = "26.7.3-stable.1";

/// The folder of the ClickHouse engine library, fetched or not.
#[must_use]
pub fn libchdb_folder() -> PathBuf {
    folder().join("libchdb").join(LIBCHDB_VERSION)
}

/// The folder of Apache Kafka's jars in the version that `docker/kafka/pom.xml` names, fetched or not.
#[must_use]
pub fn kafka_folder() -> PathBuf {
    folder().join("kafka").join(kafka_version())
}

/// The version of Apache Kafka that `docker/kafka/pom.xml` names.
#[must_use]
pub fn kafka_version() -> &'static str {
    let pom = include_str!("../../../docker/kafka/pom.xml");
    let (_, rest) = pom
        .split_once("<kafka.version>")
        .expect("`docker/kafka/pom.xml` has a `kafka.version`");
    let (version, _) = rest.split_once('<').expect("an element of `docker/kafka/pom.xml` ends");
    version
}

/// The library that shifts the clock of a process into which it is loaded: libfaketime, in its form for several threads.
///
/// # Errors
/// Names the missing library and the command that installs it.
pub fn clock_library() -> Result<PathBuf, RigError> {
    let folders = std::fs::read_dir("/usr/lib").map_err(RigError::io("read `/usr/lib`"))?;
    folders
        .filter_map(Result::ok)
        .map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"))
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| RigError::MissingPart {
            part: "libfaketimeMT.so.1".to_owned(),
        })
}

/// Finds a program on the path or in the system folders where Debian keeps daemons.
///
/// # Errors
/// Names the missing program and the command that installs it.
pub fn program(name: &str) -> Result<PathBuf, RigError> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| RigError::MissingPart { part: name.into() })
}
