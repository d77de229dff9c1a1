//! What the decoder reads, and what it refuses and why.

use proptest::prelude::*;

use super::decode_json;
use crate::{Metric, Position, Reason};

fn metrics(payload: &str) -> Vec<(String, f64)> {
    let readings = decode_json(payload.as_bytes()).expect("payload is good");
    let metric = |metric: &Metric<'_>| (metric.name.to_string(), metric.value);
    readings
        .iter()
        .flat_map(|reading| reading.metrics.iter().map(metric))
        .collect()
}

fn reason(payload: &[u8]) -> Reason {
    decode_json(payload)
        .expect_err(&String::from_utf8_lossy(payload))
        .reason
}

#[test]
fn the_full_form_is_read_field_by_field() {
    let payload = br#"{"ts": 1732212345678, "seq": 42, "lat": 37.7749, "lon": -122.4194, "alt": 3, "speed_mps": 1.5,
        "heading_deg": 359, "accuracy_m": 5.0, "metrics": {"temperature": 21.5, "on": true}, "note": "ok \u00fc"}"#;
    let reading = decode_json(payload).expect("payload is good").remove(0);
    assert_eq!(reading.claimed_ts_ms, Some(1_732_212_345_678));
    assert_eq!(reading.seq, Some(42));
    assert_eq!(reading.position, Position::from_degrees(37.7749, -122.4194));
    let motion = reading.motion;
    assert_eq!((motion.altitude_m, motion.speed_mps), (Some(3.0), Some(1.5)));
    assert_eq!((motion.heading_deg, motion.accuracy_m), (Some(359.0), Some(5.0)));
    assert_eq!(reading.metrics.len(), 2);
    assert_eq!(reading.attributes, vec![("note".into(), "ok ü".into())]);
}

#[test]
fn metrics_may_stand_flat_nested_or_both() {
    assert_eq!(metrics(r#"{"temperature": 21.5}"#), [("temperature".to_owned(), 21.5)]);
    assert_eq!(
        metrics(r#"{"a": 1, "metrics": {"b": false}}"#),
        [("a".to_owned(), 1.0), ("b".to_owned(), 0.0)]
    );
    assert_eq!(
        metrics(r#"{"metrics": {"engine": {"oil": {"t": 90}}}}"#),
        [("engine.oil.t".to_owned(), 90.0)]
    );
    assert_eq!(
        metrics(r#"{"a": 1, "a": 2, "metrics": {"a": 3}}"#),
        [("a".to_owned(), 3.0)]
    );
    assert_eq!(
        metrics(r#"{"a": -7, "b": null, "metrics": {"c": null}}"#),
        [("a".to_owned(), -7.0)]
    );
}

#[test]
fn a_batch_keeps_its_order() {
    assert_eq!(
        metrics(r#"[{"a": 1}, {"a": 2}]"#),
        [("a".to_owned(), 1.0), ("a".to_owned(), 2.0)]
    );
}

#[test]
fn unknown_containers_are_left_out() {
    assert_eq!(
        metrics(r#"{"a": 1, "extra": {"b": [1, {"c": 2}]}, "list": []}"#),
        [("a".to_owned(), 1.0)]
    );
}

#[test]
fn times_come_in_every_unit_and_as_text() {
    for ts in [
        "1732212345",
        "1732212345000",
        "1732212345000000",
        "1732212345000000000",
        "\"2024-11-21T18:05:45Z\"",
    ] {
        let payload = format!(r#"{{"ts": {ts}, "a": 1}}"#);
        let readings = decode_json(payload.as_bytes()).expect("payload is good");
        assert_eq!(readings[0].claimed_ts_ms, Some(1_732_212_345_000), "{ts}");
    }
}

#[test]
fn every_broken_rule_has_its_reason() {
    let cases: [(&str, Reason); 35] = [
        ("", Reason::InvalidJson),
        ("{", Reason::InvalidJson),
        ("hello", Reason::InvalidJson),
        (r#"{"a": 1} x"#, Reason::InvalidJson),
        (r#"{"a": 01}"#, Reason::InvalidJson),
        ("1", Reason::NotAnObject),
        ("null", Reason::NotAnObject),
        ("\"text\"", Reason::NotAnObject),
        ("[1]", Reason::NotAnObject),
        ("[[{\"a\": 1}]]", Reason::NotAnObject),
        (r#"{"a": NaN}"#, Reason::NonFiniteNumber),
        ("{\n \"b\": 1,\n \"a\": -Infinity}", Reason::NonFiniteNumber),
        (r#"{"metrics": {"a": Infinity}}"#, Reason::NonFiniteNumber),
        (r#"{"a": 1e999}"#, Reason::NonFiniteNumber),
        (r#"{"lat": 90.0001, "lon": 0}"#, Reason::LatitudeOutOfRange),
        (r#"{"lat": 0, "lon": -180.5}"#, Reason::LongitudeOutOfRange),
        (r#"{"lat": 0, "a": 1}"#, Reason::IncompletePosition),
        (r#"{"lon": 0, "lat": null, "a": 1}"#, Reason::IncompletePosition),
        ("{}", Reason::NoData),
        ("[]", Reason::NoData),
        (r#"{"ts": 1, "note": "x"}"#, Reason::NoData),
        (r#"[{"a": 1}, {}]"#, Reason::NoData),
        (r#"{"a": 1, "ts": -1}"#, Reason::InvalidTimestamp),
        (r#"{"a": 1, "ts": 1.5}"#, Reason::InvalidTimestamp),
        (r#"{"a": 1, "ts": "now"}"#, Reason::InvalidTimestamp),
        (r#"{"a": 1, "ts": 18446744073709551615}"#, Reason::InvalidTimestamp),
        (r#"{"a": 1, "seq": -1}"#, Reason::InvalidSequence),
        (r#"{"a": 1, "seq": "7"}"#, Reason::InvalidSequence),
        (r#"{"a": 1, "lat": "x", "lon": 1}"#, Reason::InvalidField),
        (r#"{"a": 1, "metrics": 3}"#, Reason::InvalidField),
        (r#"{"a": 1, "alt": 1e39}"#, Reason::InvalidField),
        (r#"{"temp °C": 1}"#, Reason::InvalidMetricName),
        (r#"{"metrics": {"": 1}}"#, Reason::InvalidMetricName),
        (r#"{"metrics": {"a": "x"}}"#, Reason::InvalidMetricValue),
        (r#"{"metrics": {"a": [1]}}"#, Reason::InvalidMetricValue),
    ];
    for (payload, expected) in cases {
        assert_eq!(reason(payload.as_bytes()), expected, "{payload}");
    }
    assert_eq!(reason(b"{\"a\": 1, \"b\": \"\xff\"}"), Reason::InvalidJson);
}

fn nested(depth: usize) -> String {
    format!(
        "{{\"a\": 1, \"x\": {}1{}}}",
        "[".repeat(depth - 1),
        "]".repeat(depth - 1)
    )
}

#[test]
fn limits_hold_exactly() {
    assert!(decode_json(nested(8).as_bytes()).is_ok());
    assert_eq!(reason(nested(9).as_bytes()), Reason::NestingTooDeep);
    assert_eq!(reason(nested(100_000).as_bytes()), Reason::NestingTooDeep);
    let flat = |count: usize| {
        let fields: Vec<String> = (0..count).map(|index| format!("\"m{index}\": {index}")).collect();
        format!("{{{}}}", fields.join(","))
    };
    assert_eq!(metrics(&flat(256)).len(), 256);
    assert_eq!(reason(flat(257).as_bytes()), Reason::TooManyMetrics);
    let batch = |count: usize| format!("[{}]", vec![r#"{"a":1}"#; count].join(","));
    assert_eq!(metrics(&batch(10_000)).len(), 10_000);
    assert_eq!(reason(batch(10_001).as_bytes()), Reason::BatchTooLarge);
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic(payload in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode_json(&payload);
    }

    #[test]
    fn no_mangled_message_makes_the_decoder_panic(at in 0usize..100, byte in any::<u8>()) {
        let mut payload = br#"[{"ts":"2024-11-21T18:05:45Z","seq":1,"lat":-1e1,"lon":2,"metrics":{"a":{"b":1}},"n":"x"}]"#.to_vec();
        let index = at % payload.len();
        payload[index] = byte;
        let _ = decode_json(&payload);
    }

    #[test]
    fn values_are_read_to_the_last_bit(value in proptest::num::f64::NORMAL | proptest::num::f64::ZERO) {
        let payload = format!("{{\"a\": {value:e}}}");
        prop_assert_eq!(metrics(&payload)[0].1.to_bits(), value.to_bits());
    }
}
