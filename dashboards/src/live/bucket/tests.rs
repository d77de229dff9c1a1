//! Whatever comes in whatever order, the hexagons are those of the newest versions, and whoever follows has the same.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn values(count: u64) -> Values {
    Values {
        count,
        sum: count as f64 * 2.0,
        min: -(count as f64),
        max: count as f64,
    }
}

fn snapshot(cell: u64, generation: u64, version: u64) -> Snapshot {
    // Every tenth version is a withdrawal.
    let count = if version % 10 == 9 { 0 } else { version };
    Snapshot {
        cell,
        source: Source {
            partition: (generation % 3) as u16,
            generation,
        },
        version,
        values: values(count),
    }
}

/// Neighbours around Berlin, some under one parent and some not.
fn cells() -> Vec<u64> {
    let centre = LatLng::new(52.5, 13.4).unwrap().to_cell(Resolution::Seven);
    centre.grid_disk::<Vec<_>>(3).into_iter().map(u64::from).collect()
}

/// What SQL would say: the newest version of each accumulator, added up by cell.
fn expected(snapshots: &[Snapshot], resolution: u8) -> BTreeMap<u64, Values> {
    let mut newest: BTreeMap<(u64, Source), Snapshot> = BTreeMap::new();
    for one in snapshots {
        let held = newest.entry((one.cell, one.source)).or_insert(*one);
        if one.version > held.version {
            *held = *one;
        }
    }
    let mut cells: BTreeMap<u64, Values> = BTreeMap::new();
    for ((cell, _), one) in newest {
        let cell = if resolution == 7 {
            cell
        } else {
            parent(cell, resolution).unwrap()
        };
        let held = cells.entry(cell).or_insert(Values::NONE);
        *held = held.and(one.values);
    }
    cells.retain(|_, values| values.count > 0);
    cells
}

/// Takes changes as a client does.
fn follow(shown: &mut BTreeMap<u64, Values>, hexagons: &[Hexagon]) {
    for hexagon in hexagons {
        if hexagon.values.count > 0 {
            shown.insert(hexagon.cell, hexagon.values);
        } else {
            shown.remove(&hexagon.cell);
        }
    }
}

proptest! {
    #[test]
    fn all_who_follow_end_with_the_newest_versions(
        steps in proptest::collection::vec((0..37_usize, 0..4_u64, 1..40_u64), 1..300),
        rounds in proptest::collection::vec(any::<bool>(), 300),
        resume_at in 0..300_usize,
    ) {
        let cells = cells();
        let mut bucket = Bucket::new(0, 7);
        let mut all = Vec::new();
        let mut every_round: BTreeMap<u8, BTreeMap<u64, Values>> = BTreeMap::new();
        let (mut late, mut late_round) = (BTreeMap::new(), None);
        // Somebody looks at 5 from the beginning, at 6 from the middle.
        let _ = bucket.since(5, None).count();
        for (index, (cell, generation, version)) in steps.iter().enumerate() {
            let one = snapshot(cells[*cell], *generation, *version);
            all.push(one);
            bucket.apply(&one, index % 2 == 0);
            if rounds[index] && let Some(changes) = bucket.end_round() {
                for (resolution, hexagons) in &changes {
                    follow(every_round.entry(*resolution).or_default(), hexagons);
                }
            }
            if index == resume_at {
                let now: Vec<Hexagon> = bucket.since(6, None).copied().collect();
                follow(&mut late, &now);
                late_round = Some(bucket.round());
            }
        }
        if let Some(changes) = bucket.end_round() {
            for (resolution, hexagons) in &changes {
                follow(every_round.entry(*resolution).or_default(), hexagons);
            }
        }
        for resolution in [5, 7] {
            prop_assert_eq!(every_round.get(&resolution).cloned().unwrap_or_default(), expected(&all, resolution));
        }
        let missed: Vec<Hexagon> = bucket.since(6, late_round).copied().collect();
        follow(&mut late, &missed);
        prop_assert_eq!(late, expected(&all, 6));
    }
}

#[test]
fn cells_within_a_cell_are_side_by_side() {
    for (latitude, longitude) in [(52.5, 13.4), (-89.9, 0.0), (0.0, 180.0), (64.7, 10.5)] {
        let fine = LatLng::new(latitude, longitude).unwrap().to_cell(Resolution::Nine);
        for resolution in 0..=9_u8 {
            let coarse = fine.parent(Resolution::try_from(resolution).unwrap()).unwrap();
            let range = descendants(coarse.into(), 9);
            assert!(range.contains(&fine.into()), "{resolution}");
            for neighbour in coarse.grid_disk::<Vec<_>>(1).into_iter().filter(|one| *one != coarse) {
                for child in neighbour.children(Resolution::Nine).take(50) {
                    assert!(!range.contains(&child.into()), "{resolution}");
                }
            }
        }
    }
}

#[test]
fn the_store_is_right_where_versions_are_equal() {
    let mut bucket = Bucket::new(0, 7);
    let cell = cells()[0];
    let (mut one, mut other) = (snapshot(cell, 1, 5), snapshot(cell, 1, 5));
    one.values = values(1);
    other.values = values(2);
    assert_eq!(bucket.apply(&one, false), Applied::Changed);
    assert_eq!(bucket.apply(&other, false), Applied::Nothing);
    assert_eq!(bucket.apply(&other, true), Applied::Corrected);
    assert_eq!(bucket.apply(&other, true), Applied::Nothing);
    bucket.end_round();
    assert_eq!(bucket.since(7, None).next().unwrap().values.count, 2);
}
