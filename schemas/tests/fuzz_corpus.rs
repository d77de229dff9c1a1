//! Replays the corpus of the fuzz targets, so that what the fuzzer once found or was given stays true in every build.

#[path = "../fuzz/checks.rs"]
mod checks;

use std::{fs, path::Path};

/// Runs a check on every file of a folder of the corpus, and on every beginning of it: devices get cut off.
fn replay(folder: &str, check: fn(&[u8])) {
    // Asked at run time: a build may be shared by several checkouts.
    let root = std::env::var_os("CARGO_MANIFEST_DIR").expect("tests are run by cargo");
    let corpus = Path::new(&root).join("fuzz/corpus").join(folder);
    let mut file_count = 0;
    for entry in fs::read_dir(&corpus).expect("the corpus is part of the repository") {
        let bytes = fs::read(entry.expect("readable").path()).expect("readable");
        (0..=bytes.len()).for_each(|end| check(&bytes[..end]));
        file_count += 1;
    }
    assert!(file_count > 0, "`{}` is empty", corpus.display());
}

#[test]
fn every_payload_of_the_corpus_is_refused_for_a_known_reason_or_survives_its_record() {
    replay("payload", checks::payload);
}

#[test]
fn every_record_of_the_corpus_is_refused_or_survives_being_written_again() {
    replay("record", checks::record);
}
