//! A replay of a file: published with duplicates and poison, and every row and cell compared.

use std::fmt::Write;

use crate::meridian::{Up, command, errors, text};

#[test]
fn a_file_goes_through_and_every_cell_is_right() {
    let mut up = Up::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let mut csv = "id,time,lat,lon,speed\n".to_owned();
    for index in 0..1_500 {
        let (device, time) = (index % 40, 1_600_000_000 + index * 7);
        let degrees = f64::from(index % 90) / 1000.0;
        writeln!(
            csv,
            "car-{device},{time},{},{},{}.5",
            52.5 + degrees,
            13.4 - degrees,
            index % 50
        )
        .unwrap();
    }
    std::fs::write(folder.path().join("cars.csv"), csv).unwrap();
    let data_dir = up.data_dir();
    let map = "device=id,ts=time,lat=lat,lon=lon,metric.speed=speed";
    let arguments = [
        "loadtest",
        "replay",
        "cars.csv",
        "--map",
        map,
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
