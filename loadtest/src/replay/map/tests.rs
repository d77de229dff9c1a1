//! Column mappings: what they mean, and what is said about wrong ones.

use super::*;

#[test]
fn every_field_is_read() {
    let map = parse_map(
        "device=MMSI, ts=Time,lat=LAT,lon=LON,seq=N,heading_deg=H,metric.speed=SOG,scale.speed=0.5,null.SOG=102.3,null.SOG=-1",
    )
    .unwrap();
    assert_eq!((map.device.as_str(), map.ts.as_str()), ("MMSI", "Time"));
    assert_eq!(map.position, Some(("LAT".to_owned(), "LON".to_owned())));
    assert_eq!(map.seq.as_deref(), Some("N"));
    let column = |name: &str, column: &str, scale| NumberColumn {
        name: name.to_owned(),
        column: column.to_owned(),
        scale,
    };
    assert_eq!(map.motion, [column("heading_deg", "H", 1.0)]);
    assert_eq!(map.metrics, [column("speed", "SOG", 0.5)]);
    assert_eq!(map.nulls["SOG"], [102.3, -1.0]);
}

#[test]
fn every_fault_is_named() {
    let cases = [
        ("device", MapError::NotAPair("device".to_owned())),
        ("device=", MapError::NotAPair("device=".to_owned())),
        ("speed=SOG", MapError::UnknownField("speed".to_owned())),
        ("device=A,device=B", MapError::Twice("device".to_owned())),
        ("metric.a=A,metric.a=B", MapError::Twice("metric.a".to_owned())),
        ("ts=T,metric.a=A", MapError::Missing("device")),
        ("device=D,metric.a=A", MapError::Missing("ts")),
        ("device=D,ts=T,lat=A", MapError::HalfPosition),
        ("device=D,ts=T", MapError::NoData),
        ("", MapError::Missing("device")),
        ("metric.1a=A", MapError::MetricName("1a".to_owned())),
        ("null.A=x", MapError::NotANumber("null.A=x".to_owned())),
        (
            "device=D,ts=T,metric.a=A,null.B=1",
            MapError::Dangling("null.B".to_owned()),
        ),
        (
            "device=D,ts=T,metric.a=A,scale.b=1",
            MapError::Dangling("scale.b".to_owned()),
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(parse_map(text), Err(expected), "{text}");
    }
}
