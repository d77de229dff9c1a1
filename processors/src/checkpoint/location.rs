//! Where checkpoints lie, as users write it: `file:` folders, and buckets when that support is compiled in.

use std::{path::PathBuf, sync::Arc};

use object_store::{ObjectStore, local::LocalFileSystem, path::Path};

use super::CheckpointError;

/// Opens what `[checkpoints] url` names: the store, and the folder within it.
pub(super) fn open(url: &str) -> Result<(Arc<dyn ObjectStore>, Path), CheckpointError> {
    let Some((scheme, rest)) = url.split_once(':') else {
        return Err(location_error(
            url,
            "write `file:/a/folder`, or an `s3://`, `gs://` or `az://` address",
        ));
    };
    match scheme {
        "file" => open_folder(url, rest),
        "s3" | "s3a" => open_bucket(url, "s3", cfg!(feature = "s3")),
        "gs" => open_bucket(url, "gs", cfg!(feature = "gs")),
        "az" | "abfs" | "abfss" => open_bucket(url, "az", cfg!(feature = "az")),
        _ => Err(location_error(
            url,
            "this kind of address is not known: use `file:`, `s3://`, `gs://` or `az://`",
        )),
    }
}

/// A folder of this machine. Writes are made durable (file and folders) before they count as done.
fn open_folder(url: &str, rest: &str) -> Result<(Arc<dyn ObjectStore>, Path), CheckpointError> {
    let folder = PathBuf::from(rest.strip_prefix("//").unwrap_or(rest));
    if folder.as_os_str().is_empty() {
        return Err(location_error(url, "the folder is missing: write `file:/a/folder`"));
    }
    std::fs::create_dir_all(&folder).map_err(|error| {
        location_error(
            url,
            format!("cannot create the folder: {error}; check its parent and permissions"),
        )
    })?;
    let store = LocalFileSystem::new_with_prefix(&folder).map_err(|error| location_error(url, error))?;
    Ok((Arc::new(store.with_fsync(true)), Path::default()))
}

#[cfg(any(feature = "s3", feature = "gs", feature = "az"))]
fn open_bucket(
    url: &str,
    feature: &str,
    is_compiled_in: bool,
) -> Result<(Arc<dyn ObjectStore>, Path), CheckpointError> {
    if !is_compiled_in {
        return Err(feature_error(url, feature));
    }
    // Credentials and regions come from the environment variables that the clouds' own tools use.
    let settings = std::env::vars().map(|(name, value)| (name.to_ascii_lowercase(), value));
    let parsed = url::Url::parse(url).map_err(|error| location_error(url, error))?;
    let (store, prefix) =
        object_store::parse_url_opts(&parsed, settings).map_err(|error| location_error(url, error))?;
    Ok((store.into(), prefix))
}

#[cfg(not(any(feature = "s3", feature = "gs", feature = "az")))]
fn open_bucket(
    url: &str,
    feature: &str,
    _is_compiled_in: bool,
) -> Result<(Arc<dyn ObjectStore>, Path), CheckpointError> {
    Err(feature_error(url, feature))
}

fn feature_error(url: &str, feature: &str) -> CheckpointError {
    location_error(
        url,
        format!("this build does not have it: build `meridian` with `--features {feature}`"),
    )
}

fn location_error(url: &str, reason: impl std::fmt::Display) -> CheckpointError {
    CheckpointError::Location {
        url: url.to_owned(),
        reason: reason.to_string(),
    }
}
