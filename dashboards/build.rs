//! Lists the files of the built page, so that they can be embedded. Builds nothing itself: without a page, and without
//! Node.js, this crate compiles all the same.

use std::{
    env,
    error::Error,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

/// How a file may be compressed, by the end of its name. Compressed files lie beside the plain one.
const ENCODINGS: [&str; 2] = ["br", "gz"];

fn main() -> Result<(), Box<dyn Error>> {
    let dist = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("web/dist");
    // The folder is in the repository, empty: it always exists, and cargo sees what comes and goes in it.
    println!("cargo::rerun-if-changed=web/dist");
    println!("cargo::rerun-if-changed=build.rs");
    // The files of another checkout, built into the same target folder, are not ours.
    println!("cargo::rerun-if-env-changed=MERIDIAN_CHECKOUT");
    let mut names = Vec::new();
    if dist.join("index.html").is_file() {
        collect(&dist, &dist, &mut names)?;
    }
    names.sort();
    let mut code = String::from("&[\n");
    for name in &names {
        let path = dist.join(name);
        let plain = include(&path);
        let [brotli, gzip] = ENCODINGS.map(|ending| {
            let compressed = PathBuf::from(format!("{}.{ending}", path.display()));
            match compressed.is_file() {
                true => format!("Some({})", include(&compressed)),
                false => "None".to_owned(),
            }
        });
        writeln!(
            code,
            "File {{ name: {name:?}, plain: {plain}, brotli: {brotli}, gzip: {gzip} }},"
        )?;
    }
    code.push(']');
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("files.rs"), code)?;
    Ok(())
}

/// Files that a browser asks for, by their path within the folder.
fn collect(folder: &Path, dist: &Path, names: &mut Vec<String>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, dist, names)?;
            continue;
        }
        let name = path.strip_prefix(dist)?.to_string_lossy().into_owned();
        let is_compressed = ENCODINGS.iter().any(|ending| name.ends_with(&format!(".{ending}")));
        if !is_compressed && !name.starts_with('.') {
            names.push(name);
        }
    }
    Ok(())
}

/// Code that is the bytes of a file.
fn include(path: &Path) -> String {
    format!("include_bytes!({:?})", path.display().to_string())
}
