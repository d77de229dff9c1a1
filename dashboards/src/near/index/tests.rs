//! What is found is what looking at every device finds, wherever they are and however they moved.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::api::view::BoundingBox;

const TENANTS: [&str; 3] = ["acme", "beta", "gamma"];

/// Where the globe is difficult, and anywhere; often the same place.
fn place() -> impl Strategy<Value = (i32, i32)> {
    const LATITUDE_MAX: i32 = 900_000_000;
    const LONGITUDE_MAX: i32 = 1_800_000_000;
    let few = -3..=3_i32;
    prop_oneof![
        // Nobody knows.
        1 => Just((i32::MIN, i32::MIN)),
        2 => Just((LATITUDE_MAX, 12)),
        2 => (Just(-LATITUDE_MAX), -LONGITUDE_MAX..=LONGITUDE_MAX),
        3 => (-3..=3_i32, prop_oneof![Just(LONGITUDE_MAX), Just(-LONGITUDE_MAX), Just(LONGITUDE_MAX - 1)]),
        3 => (LATITUDE_MAX - 50..=LATITUDE_MAX, -LONGITUDE_MAX..=LONGITUDE_MAX),
        // A lattice around the origin: many at equal distances.
        6 => (few.clone(), few).prop_map(|(lat, lon)| (lat * 10_000_000, lon * 10_000_000)),
        3 => (473_700_000..473_700_400, 85_400_000..85_400_400),
        4 => (-LATITUDE_MAX..=LATITUDE_MAX, -LONGITUDE_MAX..=LONGITUDE_MAX),
    ]
}

/// Tenant, device, version, place.
type Told = (usize, u8, u64, (i32, i32));

/// Tenant and device; version and place.
type Names = (String, String);
type Last = (u64, (i32, i32));

fn told() -> impl Strategy<Value = Vec<Told>> {
    prop::collection::vec((0..TENANTS.len(), 0..200_u8, 0..20_u64, place()), 0..600)
}

/// The index, and the last place of every device.
fn taken(all: &[Told]) -> (Index, BTreeMap<Names, Last>) {
    let mut index = Index::default();
    let mut last: BTreeMap<Names, Last> = BTreeMap::new();
    for (tenant, device, version, at) in all {
        let (tenant, device) = (TENANTS[*tenant], format!("Device-{device}"));
        let position = Position {
            tenant,
            device: &device,
            partition: 3,
            version: *version,
            ts_ms: 5,
            latitude_e7: at.0,
            longitude_e7: at.1,
        };
        assert!(index.take(&position, 1_000));
        let held = last.entry((tenant.to_owned(), device)).or_insert((*version, *at));
        if *version > held.0 {
            *held = (*version, *at);
        }
    }
    (index, last)
}

fn degrees(at: (i32, i32)) -> Option<(f64, f64)> {
    (at.0 != i32::MIN).then(|| (f64::from(at.0) / 1e7, f64::from(at.1) / 1e7))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_nearest_are_those_of_brute_force(
        all in told(),
        from in place().prop_filter("a known place", |at| at.0 != i32::MIN),
        tenant in prop_oneof![Just(""), Just("acme"), Just("nobody")],
        radius_m in prop_oneof![Just(0.0), 1.0..100.0, 1e5..1e7, Just(20_038_000.0)],
        count_max in prop_oneof![1..5_usize, Just(1_000)],
    ) {
        let (index, last) = taken(&all);
        let from = degrees(from).unwrap();
        let mut expected: Vec<(f64, String, String)> = last
            .into_iter()
            .filter(|((of, _), _)| tenant.is_empty() || of == tenant)
            .filter_map(|((tenant, device), (_, at))| Some((distance_m(from, degrees(at)?), tenant, device)))
            .filter(|(distance_m, ..)| *distance_m <= radius_m)
            .collect();
        expected.sort_by(|one, other| one.0.total_cmp(&other.0).then_with(|| (&one.1, &one.2).cmp(&(&other.1, &other.2))));
        expected.truncate(count_max);
        let around = Around {
            tenant: tenant.to_owned(),
            latitude: from.0,
            longitude: from.1,
            radius_m,
            count_max,
        };
        let found = index.nearest(&around).into_iter().map(|near| (near.distance_m, near.tenant, near.device));
        prop_assert_eq!(found.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn pages_of_names_hold_every_device_that_is_meant_once_and_in_order(
        all in told(),
        search in prop_oneof![Just(""), Just("-1"), Just("device-7"), Just("x")],
        box_east in -5.0..5.0_f64,
        is_everywhere: bool,
        count_max in 1..50_usize,
    ) {
        let (index, last) = taken(&all);
        let place = BoundingBox { west: -2.0, south: -1.0, east: box_east, north: 2.0 };
        let filter = Filter { search: search.to_owned(), place: (!is_everywhere).then_some(place) };
        let is_meant = |((_, device), (_, at)): &(&Names, &Last)| {
            let is_in = is_everywhere || degrees(*at).is_some_and(|(latitude, longitude)| place.holds(latitude, longitude));
            device.to_ascii_lowercase().contains(search) && is_in
        };
        let expected: Vec<_> = last.iter().filter(is_meant).map(|(names, _)| names.clone()).collect();
        let (mut seen, mut after) = (Vec::new(), (String::new(), String::new()));
        loop {
            let page = index.names("", &filter, &after, count_max);
            prop_assert!(page.len() <= count_max);
            let Some(last) = page.last() else { break };
            after = last.clone();
            seen.extend(page);
        }
        prop_assert_eq!(seen, expected);
        let of_one = index.names("beta", &filter, &Default::default(), 1_000);
        prop_assert!(of_one.iter().all(|(tenant, _)| tenant == "beta"));
    }
}

#[test]
fn distances_are_those_of_vectors() {
    // Another formula, which has no trouble anywhere: by the angle between two vectors.
    for (one, other) in [
        ((0.0, 0.0), (0.0, 180.0)),
        ((90.0, 0.0), (-90.0, 77.0)),
        ((-17.0, 179.9999), (-17.0, -179.9999)),
        ((89.9999, 10.0), (89.9999, -170.0)),
        ((47.37, 8.54), (47.370_001, 8.540_001)),
        ((52.5, 13.4), (-33.9, 151.2)),
    ] {
        let (a, b) = (vector(one.0, one.1), vector(other.0, other.1));
        let across = super::super::sphere::chord2(&a, &b).sqrt() / 2.0;
        let expected = 2.0 * EARTH_RADIUS_M * across.min(1.0).asin();
        let got = distance_m(one, other);
        // Lines through the middle of the Earth tell badly how far apart their ends are.
        let tolerance_m = if across > 0.999 { 0.5 } else { 1e-6 };
        assert!(
            (got - expected).abs() < tolerance_m,
            "{one:?} {other:?}: {got} {expected}"
        );
    }
}

#[test]
fn there_is_room_for_so_many_devices_and_no_more() {
    let mut index = Index::default();
    let mut take = |device: &str| {
        let position = Position {
            tenant: "acme",
            device,
            partition: 0,
            version: 1,
            ts_ms: 0,
            latitude_e7: 0,
            longitude_e7: 0,
        };
        index.take(&position, 2)
    };
    assert!(take("a") && take("b") && take("a") && !take("c"));
}

#[test]
fn a_device_takes_no_more_memory_than_is_said() {
    const COUNT: u32 = 100_000;
    let mut index = Index::default();
    for number in 0..COUNT {
        // A fleet in some cities.
        let city = (number % 50) as i32;
        let device = format!("van-berlin-{number}");
        let position = Position {
            tenant: TENANTS[number as usize % TENANTS.len()],
            device: &device,
            partition: 0,
            version: 1,
            ts_ms: 0,
            latitude_e7: city * 10_000_000 + (number.wrapping_mul(2_654_435_761) % 3_000_000) as i32,
            longitude_e7: city * 20_000_000 + (number.wrapping_mul(40_503) % 3_000_000) as i32,
        };
        index.take(&position, COUNT as usize);
    }
    let each = index.weight_bytes() / COUNT as usize;
    assert!((100..200).contains(&each), "{each} bytes a device");
}
