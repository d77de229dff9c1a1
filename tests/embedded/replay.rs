//! A replay of a file: published with duplicates and poison, and every row and cell compared.

use crate::{
    cars,
    meridian::{Up, command, errors, text},
};

#[test]
fn a_file_goes_through_and_every_cell_is_right() {
    let mut up = Up::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    cars::write(folder.path(), 1_500, 40);
    let data_dir = up.data_dir();
    let arguments = [
        "loadtest",
        "replay",
        cars::FILE,
        "--map",
        cars::MAP,
        "--report",
        "report.json",
    ];
    let arguments = [&arguments[..], &["--data-dir", data_dir.to_str().unwrap()]].concat();
    let output = command(&arguments, folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}\n{}", text(&output), errors(&output));
    let report = std::fs::read(folder.path().join("report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
    assert_eq!(report["clean"], true);
    assert_eq!(report["rows"]["stored"], 1_500);
    assert!(report["published"]["duplicates"].as_u64().unwrap() > 0);
    assert!(report["dead_letters"]["stored"].as_u64().unwrap() > 0);
    up.stop();
}
