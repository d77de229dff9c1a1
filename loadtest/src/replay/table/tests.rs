//! Reading tables, plain and compressed, and what is said about unreadable ones.

use super::*;
use crate::replay::parse_map;

fn table(map: &str, csv: &str) -> Result<Table, TableError> {
    read_table(csv.as_bytes(), &parse_map(map).unwrap())
}

const MAP: &str = "device=id,ts=time,lat=lat,lon=lon,metric.speed=sog,null.sog=102.3,scale.speed=2";

#[test]
fn rows_become_events_through_the_mapping() {
    let csv =
        "lat,lon,id,time,sog\n1.5,-2,a,2022-01-03T00:00:03Z,3\n,,b,1641168003,4.5\n1,2,a,2022-01-03 00:00:03,102.3\n";
    let table = table(MAP, csv).unwrap();
    assert_eq!(table.devices, ["a", "b"]);
    let summary: Vec<_> = table
        .events
        .iter()
        .map(|event| (event.device, event.ts_ms, event.position.is_some(), event.metrics[0]))
        .collect();
    let ts_ms = 1_641_168_003_000;
    let expected = [
        (0, ts_ms, true, Some(6.0)),
        (1, ts_ms, false, Some(9.0)),
        (0, ts_ms, true, None),
    ];
    assert_eq!(summary, expected);
}

#[test]
fn rows_that_cannot_become_events_are_counted_with_the_first_reason() {
    let csv = "id,time,lat,lon,sog\na b,1641168003,1,2,3\na,x,1,2,3\na,1641168003,95,2,3\na,1641168003,1,,3\n\
        a,1641168003,1,2,fast\na,1641168003,,,102.3\na,1641168003,,,NaN\na,1641168003,1,2,3\n";
    let table = table(MAP, csv).unwrap();
    assert_eq!((table.events.len(), table.skipped_count), (1, 7));
    assert!(table.first_skipped.unwrap().starts_with("line 2: `a b` is no device"));
}

#[test]
fn a_missing_column_is_named_with_those_that_exist() {
    let Err(TableError::Map(error)) = table(MAP, "id,time,lat,lon\n") else {
        panic!("there is no column `sog`");
    };
    assert_eq!(
        error.to_string(),
        "the file has no column `sog`; its columns are `id`, `time`, `lat`, `lon`"
    );
}

#[test]
fn compressed_files_are_read_like_plain_ones() {
    let folder = tempfile::tempdir().unwrap();
    let csv = "id,time,lat,lon,sog\na,1641168003,1,2,3\n";
    let (plain, compressed) = (folder.path().join("a.csv"), folder.path().join("a.csv.gz"));
    std::fs::write(&plain, csv).unwrap();
    let mut encoder = flate2::write::GzEncoder::new(File::create(&compressed).unwrap(), flate2::Compression::fast());
    io::Write::write_all(&mut encoder, csv.as_bytes()).unwrap();
    encoder.finish().unwrap();
    let map = parse_map(MAP).unwrap();
    assert_eq!(read_file(&plain, &map).unwrap(), read_file(&compressed, &map).unwrap());
    assert!(read_file(&folder.path().join("none"), &map).is_err());
}
