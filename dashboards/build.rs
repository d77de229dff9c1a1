//! Lists the files of the built page, so that they can be embedded. Builds nothing itself: without a page, and without
//! Node.js, this crate compiles all the same.

use std::{
    env,
    error::Error,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// How a file may be compressed, by the end of its name. Compressed files lie beside the plain one.
const ENCODINGS: [&str; 2] = ["br", "gz"];

/// What the page is built from, besides packages and their versions.
const SOURCES: [&str; 4] = ["src", "index.html", "build.ts", "vite.config.ts"];

fn main() -> Result<(), Box<dyn Error>> {
    let web = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("web");
    let dist = web.join("dist");
    // The folder is in the repository, empty: it always exists, and cargo sees what comes and goes in it.
    println!("cargo::rerun-if-changed=web/dist");
    println!("cargo::rerun-if-changed=build.rs");
    // The files of another checkout, built into the same target folder, are not ours.
    println!("cargo::rerun-if-env-changed=MERIDIAN_CHECKOUT");
    let mut names = Vec::new();
    if dist.join("index.html").is_file() {
        collect(&dist, &dist, &mut names)?;
        warn_of_newer_sources(&web)?;
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

/// The page is built by `cargo xtask web` alone: who changed its sources and forgot that would look at the old one.
fn warn_of_newer_sources(web: &Path) -> Result<(), Box<dyn Error>> {
    let stamp = web.join("dist/.sources");
    let built = if stamp.is_file() {
        stamp
    } else {
        web.join("dist/index.html")
    };
    let built = fs::metadata(built)?.modified()?;
    let mut newest = None;
    for name in SOURCES {
        println!("cargo::rerun-if-changed=web/{name}");
        newest = newest.max(newest_in(&web.join(name))?);
    }
    if let Some((_, path)) = newest.filter(|(changed, _)| *changed > built) {
        println!(
            "cargo::warning=`{}` is newer than the page that is embedded: run `cargo xtask web` and build again",
            path.strip_prefix(web).unwrap_or(&path).display()
        );
    }
    Ok(())
}

/// The file that was changed last.
fn newest_in(path: &Path) -> Result<Option<(SystemTime, PathBuf)>, Box<dyn Error>> {
    if !path.is_dir() {
        return Ok(Some((fs::metadata(path)?.modified()?, path.to_owned())));
    }
    let mut newest = None;
    for entry in fs::read_dir(path)? {
        newest = newest.max(newest_in(&entry?.path())?);
    }
    Ok(newest)
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
