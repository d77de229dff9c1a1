//! The oracle finds what is wrong: every kind of damage to right data has to be reported.

// The oracle is only worth something if it complains: every test breaks one thing and expects to hear of it.

use bytes::Bytes;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schemas::Position;

use super::*;
use crate::{message::topic, poison::PoisonKind};

const START_MS: i64 = 1_767_225_600_000;

fn event(names: &mut Names, device: &str, ts_ms: i64, speed: f64, place: Option<(f64, f64)>) -> SentEvent {
    SentEvent {
        device: names.number(device),
        ts_ms,
        seq: None,
        position: place.and_then(|(latitude, longitude)| Position::from_degrees(latitude, longitude)),
        metrics: vec![
            (names.number("speed"), speed),
            (names.number("course"), speed * 3.0 - 40.0),
        ],
        payload: Bytes::from(format!("{ts_ms} {speed} {place:?}")),
        promise: Promise::Must,
    }
}

fn fleet(names: &mut Names, count: usize) -> Vec<SentEvent> {
    let mut random = ChaCha8Rng::seed_from_u64(5);
    (0..count)
        .map(|index| {
            let device = format!("ship-{}", index % 40);
            let ts_ms = START_MS + random.random_range(0..7_200_000);
            let place = (
                48.0 + random.random_range(0.0..0.05),
                11.0 + random.random_range(0.0..0.05),
            );
            event(names, &device, ts_ms, random.random_range(-20.0..60.0), Some(place))
        })
        .collect()
}

fn all_rows(expectation: &Expectation) -> Vec<Row> {
    expectation.must.iter().flatten().copied().collect()
}

fn shown(rows: &[Row], level: Level) -> Vec<ShownCell> {
    let cell = |expected: ExpectedCell| {
        let values = &expected.values;
        let at = |share: f64| values[(share * (values.len() - 1) as f64).floor() as usize] * 1.009;
        let sum: f64 = values.iter().rev().sum();
        ShownCell {
            key: expected.key,
            count: values.len() as u64,
            sum,
            min: values[0],
            max: values[values.len() - 1],
            avg: sum / values.len() as f64,
            quantiles: QUANTILES.map(|(share, _)| at(share)),
            devices: expected.devices,
        }
    };
    expected_cells(rows, level).into_iter().map(cell).collect()
}

/// Faults in the cells of all levels.
fn cell_faults(names: &Names, expected: &[Row], stored: &[Row]) -> usize {
    let mut count = 0;
    for level in Level::ALL {
        let wanted = expected_cells(expected, level);
        compare_cells(level, &wanted, &shown(stored, level), names, &mut |_| count += 1);
    }
    count
}

fn world() -> (Names, Expectation, Vec<Row>) {
    let mut names = Names::default();
    let events = fleet(&mut names, 2_000);
    let expectation = Expectation::new(Vec::new(), &events, &mut names);
    let rows = all_rows(&expectation);
    assert_eq!(rows.len(), 4_000);
    (names, expectation, rows)
}

#[test]
fn a_faithful_store_raises_no_complaint() {
    let (names, expectation, rows) = world();
    let findings = compare_rows(&expectation, &rows, &names);
    assert_eq!(findings.differences, []);
    assert_eq!((findings.counts.expected, findings.counts.stored), (4_000, 4_000));
    assert_eq!(cell_faults(&names, &findings.expected, &rows), 0);
}

#[test]
fn a_dropped_row_is_noticed() {
    let (names, expectation, mut rows) = world();
    rows.remove(1_234);
    let findings = compare_rows(&expectation, &rows, &names);
    assert_eq!((findings.counts.lost, findings.counts.lost_events), (1, 1));
    assert_eq!(cell_faults(&names, &findings.expected, &rows), 9);
}

#[test]
fn a_doubled_row_is_noticed() {
    let (names, expectation, mut rows) = world();
    rows.push(rows[77]);
    let findings = compare_rows(&expectation, &rows, &names);
    assert_eq!((findings.counts.duplicated, findings.counts.unexpected), (1, 0));
    assert_eq!(cell_faults(&names, &findings.expected, &rows), 9);
}

#[test]
fn a_changed_value_is_noticed() {
    let (names, expectation, mut rows) = world();
    let row = rows[99];
    rows[99] = Row::new(
        row.device,
        row.metric,
        row.ts_ms,
        row.value() + 1e-6,
        row.position,
        row.seq,
    );
    let findings = compare_rows(&expectation, &rows, &names);
    assert_eq!((findings.counts.lost, findings.counts.unexpected), (1, 1));
    assert!(cell_faults(&names, &findings.expected, &rows) > 0);
}

#[test]
fn a_row_that_moved_to_another_tenant_is_noticed() {
    // The store is asked for one tenant, so a moved row is missing there, and a foreign one is there.
    let (names, expectation, mut rows) = world();
    let moved = rows.swap_remove(10);
    assert_eq!(compare_rows(&expectation, &rows, &names).counts.lost, 1);
    let mut other_tenant = Expectation::default();
    other_tenant.must.push(vec![rows[0]]);
    let findings = compare_rows(&other_tenant, &[rows[0], moved], &names);
    assert_eq!((findings.counts.lost, findings.counts.unexpected), (0, 1));
}

#[test]
fn a_wrong_cell_or_bucket_is_noticed() {
    let (names, expectation, rows) = world();
    for (change, what) in [(0, "bucket"), (1, "cell")] {
        let mut moved = rows.clone();
        let row = &mut moved[5];
        match change {
            0 => row.ts_ms += 60_000,
            _ => row.cell = rows.iter().find(|other| other.cell != row.cell).unwrap().cell,
        }
        let findings = compare_rows(&expectation, &moved, &names);
        assert_eq!((findings.counts.lost, findings.counts.unexpected), (1, 1), "{what}");
        assert!(cell_faults(&names, &rows, &moved) > 0, "{what}");
    }
}

#[test]
fn every_number_of_a_cell_is_checked() {
    let (names, _, rows) = world();
    let level = Level::ALL[8];
    let wanted = expected_cells(&rows, level);
    type Change = fn(&mut ShownCell);
    let changes: [(&str, Change); 10] = [
        ("count", |cell| cell.count += 1),
        ("sum", |cell| cell.sum += 0.001),
        ("sum", |cell| cell.sum = f64::NAN),
        ("min", |cell| cell.min += 0.001),
        ("max", |cell| cell.max -= 0.001),
        ("avg", |cell| cell.avg *= 1.0001),
        ("p50", |cell| cell.quantiles[0] += 1.0),
        ("p90", |cell| cell.quantiles[1] *= 1.05),
        ("p99", |cell| cell.quantiles[2] = f64::NAN),
        ("devices", |cell| cell.devices -= 1),
    ];
    for (name, change) in changes {
        let mut found = shown(&rows, level);
        change(&mut found[0]);
        let mut faults = Vec::new();
        compare_cells(level, &wanted, &found, &names, &mut |difference| {
            faults.push(difference.detail);
        });
        assert_eq!(faults.len(), 1, "{name}");
        assert!(faults[0].starts_with(name), "{faults:?}");
    }
}

#[test]
fn cells_too_many_and_too_few_are_noticed() {
    let (names, _, rows) = world();
    let level = Level::ALL[0];
    let wanted = expected_cells(&rows, level);
    let mut found = shown(&rows, level);
    let (first, last) = (found.remove(0), found.pop().unwrap());
    let mut faults = Vec::new();
    compare_cells(level, &wanted, &found, &names, &mut |difference| {
        faults.push(difference.detail);
    });
    assert_eq!(faults.len(), 2);
    faults.clear();
    let (without_first, without_last) = (&wanted[1..], &wanted[1..wanted.len() - 1]);
    assert_eq!(without_first.len(), without_last.len() + 1);
    found.insert(0, first);
    found.push(last);
    compare_cells(level, without_last, &found, &names, &mut |difference| {
        faults.push(difference.detail);
    });
    assert!(
        faults.iter().all(|fault| fault.starts_with("should not exist")),
        "{faults:?}"
    );
    assert_eq!(faults.len(), 2);
}

#[test]
fn what_is_published_twice_counts_once_and_equal_times_do_not_make_events_equal() {
    let mut names = Names::default();
    let first = event(&mut names, "a", START_MS, 1.0, Some((1.0, 2.0)));
    let other_content = event(&mut names, "a", START_MS, 1.5, Some((1.0, 2.0)));
    let other_device = event(&mut names, "b", START_MS, 1.0, Some((1.0, 2.0)));
    let events = [first.clone(), other_content, first, other_device];
    let expectation = Expectation::new(Vec::new(), &events, &mut names);
    assert_eq!((expectation.must.len(), expectation.duplicate_count), (3, 1));
}

#[test]
fn events_with_a_count_are_the_same_by_it_alone() {
    let mut names = Names::default();
    let counted = |seq, speed, names: &mut Names| SentEvent {
        seq: Some(seq),
        ..event(names, "a", START_MS, speed, Some((1.0, 2.0)))
    };
    let events = [
        counted(1, 1.0, &mut names),
        counted(1, 9.0, &mut names),
        counted(2, 1.0, &mut names),
    ];
    let expectation = Expectation::new(Vec::new(), &events, &mut names);
    assert_eq!((expectation.must.len(), expectation.duplicate_count), (2, 1));
}

#[test]
fn without_position_the_place_of_the_newest_event_so_far_counts() {
    let mut names = Names::default();
    let at = |seconds: i64| START_MS + seconds * 1000;
    let events = [
        event(&mut names, "a", at(0), 0.0, None),
        event(&mut names, "a", at(10), 1.0, Some((1.0, 1.0))),
        event(&mut names, "a", at(5), 2.0, Some((5.0, 5.0))),
        event(&mut names, "a", at(6), 3.0, None),
        event(&mut names, "b", at(7), 4.0, None),
    ];
    let expectation = Expectation::new(Vec::new(), &events, &mut names);
    let latitudes: Vec<Option<f64>> = expectation
        .must
        .iter()
        .map(|rows| rows[0].position.map(Position::latitude))
        .collect();
    assert_eq!(latitudes, [None, Some(1.0), Some(5.0), Some(1.0), None]);
    assert_eq!(expectation.must[0][0].cell, 0);
}

#[test]
fn an_event_without_metric_is_one_row_of_metric_position() {
    let mut names = Names::default();
    let mut bare = event(&mut names, "a", START_MS, 0.0, Some((1.0, 1.0)));
    bare.metrics.clear();
    let expectation = Expectation::new(Vec::new(), &[bare], &mut names);
    let row = expectation.must[0][0];
    assert_eq!((names.text(row.metric), row.value()), ("position", 1.0));
}

#[test]
fn what_was_not_acknowledged_may_be_there_once_or_not_at_all() {
    let mut names = Names::default();
    let sure = event(&mut names, "a", START_MS, 1.0, Some((1.0, 2.0)));
    let mut unsure = event(&mut names, "a", START_MS + 1, 2.0, Some((1.0, 2.0)));
    unsure.promise = Promise::May;
    let mut refused = event(&mut names, "a", START_MS + 2, 3.0, Some((1.0, 2.0)));
    refused.promise = Promise::Never;
    let expectation = Expectation::new(Vec::new(), &[sure, unsure, refused.clone()], &mut names);
    let sure_rows = expectation.must[0].clone();
    let both_rows = [sure_rows.clone(), expectation.may[0].clone()].concat();
    for (stored, rows_expected) in [(&sure_rows, 2), (&both_rows, 4)] {
        let findings = compare_rows(&expectation, stored, &names);
        assert_eq!(findings.differences, []);
        assert_eq!(findings.counts.expected, rows_expected);
    }
    let twice = [both_rows.clone(), expectation.may[0].clone()].concat();
    assert_eq!(compare_rows(&expectation, &twice, &names).counts.duplicated, 2);
    refused.promise = Promise::Must;
    let refused_rows = all_rows(&Expectation::new(Vec::new(), &[refused], &mut names));
    let with_refused = [sure_rows, refused_rows].concat();
    assert_eq!(compare_rows(&expectation, &with_refused, &names).counts.unexpected, 2);
}

fn poison(kind: PoisonKind, mark: u64) -> (SentPoison, StoredLetter) {
    let message = kind.message("acme", "bus", mark);
    let letter = StoredLetter {
        topic: message.topic.clone(),
        payload: message.payload.clone(),
        reason: kind.reason().as_str().to_owned(),
    };
    let sent = SentPoison {
        topic: message.topic,
        payload: message.payload,
        kind,
        promise: Promise::Must,
        sent_count: 1,
    };
    (sent, letter)
}

#[test]
fn dead_letters_must_be_exactly_the_poison() {
    let (sent, letters): (Vec<SentPoison>, Vec<StoredLetter>) = (0..)
        .zip(PoisonKind::ALL)
        .map(|(mark, kind)| poison(kind, mark))
        .unzip();
    let compare = |letters: &[StoredLetter]| compare_dead_letters("acme", &sent, letters);
    let (counts, differences) = compare(&letters);
    assert_eq!((counts.expected, counts.stored, differences.len()), (23, 23, 0));

    assert_eq!(compare(&letters[1..]).0.missing, 1);
    assert_eq!(
        compare(&[letters.clone(), vec![letters[3].clone()]].concat())
            .0
            .repeated,
        1
    );
    let mut wrong_reason = letters.clone();
    wrong_reason[2].reason = "no_data".to_owned();
    assert_eq!(compare(&wrong_reason).0.misjudged, 1);
    let mut changed = letters.clone();
    changed[4].payload = Bytes::from_static(b"cut");
    let (counts, _) = compare(&changed);
    assert_eq!((counts.missing, counts.unexpected), (1, 1));
    let good = StoredLetter {
        topic: topic("acme", "bus"),
        payload: Bytes::from_static(br#"{"speed": 1}"#),
        reason: "invalid_json".to_owned(),
    };
    assert_eq!(compare(&[letters, vec![good]].concat()).0.unexpected, 1);
}

#[test]
fn a_verdict_is_clean_only_without_any_fault() {
    let mut clean = Verdict {
        published: PublishedCounts {
            offered: 10,
            sent: 10,
            acknowledged: 10,
            ..PublishedCounts::default()
        },
        levels: Level::ALL.map(LevelCounts::of).to_vec(),
        ..Verdict::default()
    };
    clean.judge();
    assert!(clean.clean, "{:?}", clean.faults);
    type Change = fn(&mut Verdict);
    let changes: [Change; 12] = [
        |verdict| verdict.published.sent -= 1,
        |verdict| verdict.published.acknowledged = 0,
        |verdict| verdict.published.unrouted = 1,
        |verdict| verdict.published.unknown = 1,
        |verdict| verdict.rows.lost = 1,
        |verdict| verdict.rows.duplicated = 1,
        |verdict| verdict.rows.unexpected = 1,
        |verdict| verdict.rows.repeated_offsets = 1,
        |verdict| verdict.dead_letters.missing = 1,
        |verdict| verdict.levels[3].differ_from_published = 1,
        |verdict| verdict.levels[4].differ_from_recount = 1,
        |verdict| verdict.levels[5].measurements = 1,
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let mut verdict = clean.clone();
        change(&mut verdict);
        verdict.judge();
        assert!(
            !verdict.clean && verdict.faults.len() == 1,
            "change {index}: {:?}",
            verdict.faults
        );
    }
}
