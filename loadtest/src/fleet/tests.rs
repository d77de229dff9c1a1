//! The fleet is plausible, and the same seed gives the same fleet.

use std::collections::{BTreeMap, BTreeSet};

use schemas::payload::decode_json;
use xxhash_rust::xxh3::Xxh3;

use super::*;
use crate::message::Kind;

const START_MS: i64 = 1_767_225_600_000;

fn demo(seed: u64) -> Fleet {
    Fleet::new(FleetOptions::demo(seed, START_MS))
}

fn fingerprint(fleet: Fleet, count: usize) -> u64 {
    let mut hasher = Xxh3::new();
    for planned in fleet.take(count) {
        hasher.update(&planned.due_ms.to_le_bytes());
        hasher.update(&planned.message.topic);
        hasher.update(&planned.message.payload);
    }
    hasher.digest()
}

#[test]
fn a_seed_gives_the_same_bytes_as_ever() {
    // The last quarter of an hour is some 23,000 messages: the rest is the present.
    assert_eq!(fingerprint(demo(7), 60_000), 12_036_266_109_920_912_216);
    assert_ne!(fingerprint(demo(8), 60_000), fingerprint(demo(7), 60_000));
}

#[test]
fn messages_come_in_the_order_of_sending() {
    let due: Vec<i64> = demo(1).take(20_000).map(|planned| planned.due_ms).collect();
    assert!(due.is_sorted());
    assert!(due[0] >= START_MS - 15 * 60 * 1000);
}

#[test]
fn good_messages_are_accepted_and_bad_ones_refused() {
    let mut seen = BTreeMap::new();
    for planned in demo(2).take(60_000) {
        let accepted = decode_json(&planned.message.payload).is_ok();
        match planned.message.kind {
            Kind::Poison(kind) => {
                let by_topic_or_size = matches!(
                    kind.reason(),
                    schemas::Reason::InvalidTopic | schemas::Reason::PayloadTooLarge
                );
                assert!(!accepted || by_topic_or_size, "{kind:?}");
                *seen.entry("poison").or_insert(0) += 1;
            }
            kind => {
                assert!(accepted, "{planned:?}");
                let name = match kind {
                    Kind::Duplicate => "duplicate",
                    Kind::Late => "late",
                    Kind::Batch => "batch",
                    Kind::Valid | Kind::Poison(_) => "valid",
                };
                *seen.entry(name).or_insert(0) += 1;
            }
        }
    }
    let share = |name: &str| f64::from(seen[name]) / 60_000.0;
    assert!((0.005..0.02).contains(&share("duplicate")), "{seen:?}");
    assert!((0.005..0.02).contains(&share("late")), "{seen:?}");
    assert!((0.0002..0.003).contains(&share("poison")), "{seen:?}");
    assert!(seen["batch"] > 5, "{seen:?}");
}

/// Positions of each device over ten minutes of the present, with times.
fn tracks() -> BTreeMap<String, Vec<(i64, f64, f64)>> {
    let mut tracks: BTreeMap<String, BTreeMap<i64, (f64, f64)>> = BTreeMap::new();
    let until_ms = START_MS + 10 * 60 * 1000;
    for planned in demo(3).take_while(|planned| planned.due_ms < until_ms) {
        let device = String::from_utf8(planned.message.topic.to_vec()).unwrap();
        if matches!(planned.message.kind, Kind::Poison(_)) {
            continue;
        }
        for reading in decode_json(&planned.message.payload).unwrap() {
            let position = reading.position.unwrap();
            let place = (position.latitude(), position.longitude());
            let track = tracks.entry(device.clone()).or_default();
            track.insert(reading.claimed_ts_ms.unwrap(), place);
        }
    }
    let flat = |track: BTreeMap<i64, (f64, f64)>| track.into_iter().map(|(ts, (lat, lon))| (ts, lat, lon)).collect();
    tracks
        .into_iter()
        .map(|(device, track)| (device, flat(track)))
        .collect()
}

#[test]
fn vehicles_move_no_faster_than_traffic_and_stations_stay() {
    let tracks = tracks();
    assert_eq!(tracks.len(), 260);
    let mut moved_count = 0;
    for (device, track) in &tracks {
        if device.contains("/air-") {
            let places: BTreeSet<String> = track.iter().map(|(_, lat, lon)| format!("{lat},{lon}")).collect();
            assert_eq!(places.len(), 1, "{device}");
            continue;
        }
        let mut metres = 0.0;
        for pair in track.windows(2) {
            let ((ts, lat, lon), (next_ts, next_lat, next_lon)) = (pair[0], pair[1]);
            let step = f64::hypot(next_lat - lat, (next_lon - lon) * lat.to_radians().cos()) * 111_320.0;
            assert!(
                step <= 20.0 * (next_ts - ts) as f64 / 1000.0 + 20.0,
                "{device} jumps {step} m"
            );
            metres += step;
        }
        moved_count += usize::from(metres > 500.0);
    }
    assert!(moved_count > 100, "{moved_count} of 200 vehicles went anywhere");
}

#[test]
fn one_clock_is_hours_fast_and_the_others_are_seconds_off() {
    let mut errors_ms: BTreeMap<String, i64> = BTreeMap::new();
    for planned in demo(4)
        .take(20_000)
        .filter(|planned| planned.message.kind == Kind::Valid)
    {
        let reading = decode_json(&planned.message.payload).unwrap().remove(0);
        let error_ms = reading.claimed_ts_ms.unwrap() - planned.due_ms;
        errors_ms.insert(String::from_utf8(planned.message.topic.to_vec()).unwrap(), error_ms);
    }
    let (fast, usual): (Vec<i64>, Vec<i64>) = errors_ms.values().partition(|error_ms| **error_ms > 60_000);
    assert_eq!(fast, [3 * 3_600_000]);
    assert!(usual.iter().all(|error_ms| error_ms.abs() <= 2_000));
}

#[test]
fn the_present_has_the_promised_pace() {
    let per_second = demo(5)
        .skip_while(|planned| planned.due_ms < START_MS)
        .take_while(|planned| planned.due_ms < START_MS + 60_000)
        .count()
        / 60;
    assert!((100..=260).contains(&per_second), "{per_second} messages a second");
}

#[test]
fn counts_of_a_vehicle_rise_also_when_the_fleet_starts_again() {
    let first_seq = |start_ms: i64| {
        let mut fleet = Fleet::new(FleetOptions::demo(6, start_ms));
        let sequence = |planned: &Planned| decode_json(&planned.message.payload).ok()?.first()?.seq;
        fleet.find_map(|planned| sequence(&planned)).unwrap()
    };
    let last_seq_of_an_hour = first_seq(START_MS) + 3_600 * 2;
    assert!(first_seq(START_MS + 3_600_000) > last_seq_of_an_hour);
}
