//! What is read and what is told become one, whatever comes first, over buckets that end.

use geocache::snapshot::Source;

use super::*;

const CELL: u64 = 0x0891_f1d4_8a23_ffff;

fn key() -> Key {
    Key {
        tenant: String::new(),
        metric: "speed".to_owned(),
        period: 60,
        resolution: 9,
    }
}

fn snapshot(version: u64) -> Snapshot {
    Snapshot {
        cell: CELL,
        source: Source {
            partition: 0,
            generation: 1,
        },
        version,
        values: Values {
            count: version,
            sum: version as f64,
            min: 1.0,
            max: 1.0,
        },
    }
}

/// What the store says when it is asked as often as wanted.
fn read(watch: &Watch, stored: &[Snapshot]) {
    while let Some((bucket, wish)) = watch.wish() {
        watch.loaded(bucket, wish, stored, None);
    }
    watch.tell_stage();
}

fn counts(watch: &Watch) -> Option<Vec<u64>> {
    let found = watch.find(9, None, |_| true)?;
    Some(found.hexagons.iter().map(|hexagon| hexagon.values.count).collect())
}

#[test]
fn nothing_is_shown_before_the_store_was_read() {
    let watch = Watch::new(key(), 1, 30_000);
    watch.told(0, &[snapshot(3)]);
    watch.end_round();
    assert_eq!(counts(&watch), None);
    assert!(watch.want(false) && !watch.want(false), "one reads");
    read(&watch, &[snapshot(2)]);
    assert_eq!(counts(&watch), Some(vec![3]), "what was told is newer");
    read(&watch, &[]);
    assert!(watch.want(false), "nobody reads any more");
}

#[test]
fn a_wish_that_comes_while_the_store_is_read_is_another_reading() {
    let watch = Watch::new(key(), 1, 30_000);
    watch.want(false);
    let (bucket, wish) = watch.wish().unwrap();
    watch.want(true);
    watch.loaded(bucket, wish, &[], None);
    assert!(watch.wish().is_some());
}

#[test]
fn the_next_bucket_begins_with_what_was_told_early_and_is_read_as_well() {
    let watch = Watch::new(key(), 1, 30_000);
    watch.want(false);
    read(&watch, &[snapshot(5)]);
    let before = watch.find(9, None, |_| true).unwrap();
    // A device whose clock is ahead.
    watch.told(60, &[snapshot(7)]);
    assert_eq!(counts(&watch), Some(vec![5]));
    assert!(!watch.roll(59_999) && watch.roll(60_000) && !watch.roll(60_000));
    assert_eq!(counts(&watch), None, "not before it was read");
    watch.told(0, &[snapshot(9)]);
    watch.want(false);
    read(&watch, &[snapshot(6)]);
    let found = watch.find(9, None, |_| true).unwrap();
    assert_eq!((found.bucket, counts(&watch)), (60, Some(vec![7])));
    assert!(found.generation > before.generation, "everybody begins anew");
    // Over a night without anybody: none of what is held is of the open bucket.
    assert!(watch.roll(6_000_000));
    watch.want(false);
    read(&watch, &[]);
    assert_eq!(counts(&watch), Some(vec![]));
}

#[test]
fn a_clock_that_is_set_back_a_little_brings_no_old_bucket_back() {
    let watch = Watch::new(key(), 1, 59_000);
    assert!(watch.roll(60_000) && !watch.roll(59_999) && !watch.roll(0) && !watch.roll(60_000));
}

#[test]
fn a_clock_that_was_far_ahead_leaves_no_map_behind_in_a_time_to_come() {
    for period in [60, 3_600, 86_400] {
        let key = Key { period, ..key() };
        // Ahead for some seconds, over the end of any bucket.
        let now_ms = 10 * 86_400_000 - 90_000;
        let start = key.open_bucket(now_ms);
        let watch = Watch::new(key, 1, now_ms);
        watch.want(false);
        read(&watch, &[snapshot(5)]);
        let before = watch.find(9, None, |_| true).unwrap();
        assert!(watch.roll(now_ms + 7_200_000));
        watch.want(false);
        read(&watch, &[]);
        assert!(watch.roll(now_ms), "{period}");
        assert_eq!(counts(&watch), None, "not before it was read again");
        watch.told(start, &[snapshot(7)]);
        watch.want(false);
        read(&watch, &[snapshot(6)]);
        let found = watch.find(9, None, |_| true).unwrap();
        assert_eq!((found.bucket, counts(&watch)), (start, Some(vec![7])));
        assert!(found.generation > before.generation, "everybody begins anew");
        assert!(!watch.roll(now_ms + 1));
    }
}

#[test]
fn a_store_that_is_away_leaves_what_the_cache_has_and_its_return_begins_anew() {
    let away = || Problem::new(Kind::Unavailable, "away");
    let watch = Watch::new(key(), 1, 30_000);
    watch.want(false);
    watch.not_loaded(0, Some(&[snapshot(4)]), away());
    let found = watch.find(9, None, |_| true).unwrap();
    assert!(!found.is_exact && found.hexagons.len() == 1);
    read(&watch, &[snapshot(5)]);
    let exact = watch.find(9, None, |_| true).unwrap();
    assert!(exact.is_exact && exact.generation > found.generation);
    // Nothing was missed: it stays what it is.
    watch.want(false);
    watch.not_loaded(0, None, away());
    assert!(watch.find(9, None, |_| true).unwrap().is_exact);
    watch.want(true);
    watch.not_loaded(0, None, away());
    assert!(!watch.find(9, None, |_| true).unwrap().is_exact);

    let watch = Watch::new(key(), 1, 30_000);
    watch.want(false);
    watch.not_loaded(0, None, away());
    assert!(watch.has_failed() && watch.wish().is_none());
}
