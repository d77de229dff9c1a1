//! What a replay publishes: shifted times, repetitions and poison, the same for the same seed.

use std::collections::BTreeSet;

use schemas::payload::decode_json;

use super::*;
use crate::replay::{parse_map, table::read_table};

fn table() -> Table {
    let mut csv = "id,time,lat,lon,sog,cog\n".to_owned();
    for index in 0..20_000 {
        let speed = if index % 7 == 0 {
            String::new()
        } else {
            format!("{}.25", index % 90)
        };
        let time = 1_641_168_003 + index % 977;
        writeln!(
            csv,
            "ship-{},{time},{}.5,-122.4194155,{speed},{index}",
            index % 50,
            index % 80
        )
        .unwrap();
    }
    let map = "device=id,ts=time,lat=lat,lon=lon,metric.speed=sog,metric.course=cog,heading_deg=cog";
    read_table(csv.as_bytes(), &parse_map(map).unwrap()).unwrap()
}

fn options(seed: u64) -> PlanOptions {
    PlanOptions {
        tenant: "acme".to_owned(),
        shift_ms: 1_000,
        duplicates: 0.05,
        poison: 0.01,
        seed,
        run: 9,
    }
}

#[test]
fn every_event_is_published_once_in_order_and_some_again_soon_after() {
    let table = table();
    let mut first_at: BTreeMap<usize, usize> = BTreeMap::new();
    let (mut again_count, mut poison_count) = (0, 0);
    for (at, step) in Plan::new(&table, options(1)).enumerate() {
        match (step.message.kind, step.event) {
            (Kind::Valid, Some(event)) => {
                assert_eq!(event, first_at.len());
                first_at.insert(event, at);
            }
            (Kind::Duplicate, Some(event)) => {
                let distance = at - first_at[&event];
                assert!(distance <= 2 * DUPLICATE_DISTANCE_MESSAGES_MAX as usize, "{distance}");
                again_count += 1;
            }
            (Kind::Poison(_), None) => poison_count += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(first_at.len(), 20_000);
    assert!((900..1_100).contains(&again_count), "{again_count}");
    assert!((160..240).contains(&poison_count), "{poison_count}");
}

#[test]
fn good_messages_say_exactly_what_the_table_says_and_poison_is_distinct() {
    let table = table();
    let mut poison = BTreeSet::new();
    let mut kinds = BTreeSet::new();
    for step in Plan::new(&table, options(2)) {
        let Some(event) = step.event.map(|index| &table.events[index]) else {
            assert!(poison.insert((step.message.topic, step.message.payload)));
            let Kind::Poison(kind) = step.message.kind else {
                panic!("only poison has no event");
            };
            kinds.insert(kind);
            continue;
        };
        let reading = decode_json(&step.message.payload).unwrap().remove(0);
        assert_eq!(reading.claimed_ts_ms, Some(event.ts_ms + 1_000));
        assert_eq!(reading.position, event.position);
        let said: Vec<(&str, f64)> = reading
            .metrics
            .iter()
            .map(|metric| (metric.name.as_ref(), metric.value))
            .collect();
        let names = table.metric_names.iter().map(String::as_str);
        let meant: Vec<(&str, f64)> = names
            .zip(&event.metrics)
            .filter_map(|(name, value)| Some((name, (*value)?)))
            .collect();
        assert_eq!(said, meant);
    }
    assert_eq!(kinds.len(), PoisonKind::ALL.len());
}

#[test]
fn a_seed_gives_the_same_plan() {
    let table = table();
    let plan = |seed| Plan::new(&table, options(seed)).take(5_000).collect::<Vec<_>>();
    assert_eq!(plan(3), plan(3));
    assert_ne!(plan(3), plan(4));
}
