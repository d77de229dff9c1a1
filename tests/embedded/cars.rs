//! A table of cars, for replays.

use std::{fmt::Write, fs, path::Path};

/// Its name.
pub(crate) const FILE: &str = "cars.csv";
/// What its columns are.
pub(crate) const MAP: &str = "device=id,ts=time,lat=lat,lon=lon,metric.speed=speed";

/// Writes it into a folder: so many rows, of so many cars in turn.
pub(crate) fn write(folder: &Path, rows: u32, cars: u32) {
    let mut csv = "id,time,lat,lon,speed\n".to_owned();
    for index in 0..rows {
        let (device, time) = (index % cars, 1_600_000_000 + index * 7);
        let degrees = f64::from(index % 90) / 1_000.0;
        writeln!(
            csv,
            "car-{device},{time},{},{},{}.5",
            52.5 + degrees,
            13.4 - degrees,
            index % 50
        )
        .unwrap();
    }
    fs::write(folder.join(FILE), csv).unwrap();
}
