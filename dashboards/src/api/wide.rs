//! Wider answers than were asked for, out of which what was asked for is cut.
//!
//! Whoever pans, and everybody else who looks at the same time and metric, is answered by one question to the store. What
//! is cut out is what the store would have said, as both go by the centres of hexagons. Must never fail what could be
//! answered by itself: where the wide answer has too many hexagons, or takes too long, it is left alone for a while.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::time::Instant;

use super::{
    Api,
    cells::Asked,
    hexagons::{Cell, Found},
    memory::Kept,
    problem::{Kind, Problem},
    view::BoundingBox,
};
use crate::limits;

/// How wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Width {
    World,
    /// All that a box touches of a grid of tiles, which are 360° / 2ⁿ wide and high.
    Tiles(i32),
}

/// Tenant, metric, stored period and resolution, resolution, and how wide.
type Key = (String, String, u32, u8, u8, Width);

/// Wide answers that were too much a while ago.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    since: Mutex<HashMap<Key, Instant>>,
}

/// What was asked for, cut out of a wider answer; none where it has to be asked for by itself.
///
/// # Errors
/// When the store does not answer: it would not answer anything else either.
pub(super) async fn find(api: &Arc<Api>, asked: &Asked, is_past: bool) -> Result<Option<Kept<Found>>, Problem> {
    // Where nobody tells what changes nothing is kept, and more would be asked for in vain.
    if asked.version(api).is_none() {
        return Ok(None);
    }
    // Exports wait long for their turns, and maps must not wait for them.
    if api.store.is_for_exports() {
        return Ok(peek(api, asked, is_past).filter(|kept| kept.is_hit));
    }
    for width in widths(asked) {
        let key = key(asked, width);
        if api.refusals.hold(&key) {
            continue;
        }
        let question = asked.widened(width).question(api, is_past);
        match api.cells.answer(question, api.store.is_busy()).await {
            Ok(kept) => return Ok(Some(cut(&kept, asked))),
            Err(problem) if problem.kind == Kind::TooLarge => api.refusals.begin(key),
            Err(problem) => {
                let kept = peek(api, asked, is_past).ok_or(problem)?;
                api.cells.metrics.stale.increment(1);
                return Ok(Some(kept));
            }
        }
    }
    Ok(None)
}

/// What is kept of it, alone or in something wider: one that holds still, else the youngest.
pub(super) fn peek(api: &Arc<Api>, asked: &Asked, is_past: bool) -> Option<Kept<Found>> {
    let wide = widths(asked).filter_map(|width| {
        let kept = api.cells.peek(&asked.widened(width).question(api, is_past))?;
        Some(cut(&kept, asked))
    });
    let alone = api.cells.peek(&asked.question(api, is_past));
    wide.chain(alone).min_by_key(|kept| (!kept.is_hit, kept.age))
}

/// All hexagons of a wide answer: never coarser ones.
///
/// # Errors
/// Also when there are too many.
pub(super) async fn cells(api: &Api, asked: &Asked) -> Result<Vec<Cell>, Problem> {
    let cells = asked.hexagons(api, asked.resolution).await?;
    match cells.len() <= limits::HEXAGONS_MAX as usize {
        true => Ok(cells),
        false => Err(Problem::new(Kind::TooLarge, "there are too many hexagons")),
    }
}

fn cut(kept: &Kept<Found>, asked: &Asked) -> Kept<Found> {
    Kept {
        value: kept.value.cut(&asked.place),
        ..*kept
    }
}

fn key(asked: &Asked, width: Width) -> Key {
    let level = &asked.level;
    let (tenant, metric) = (asked.view.tenant.clone(), asked.view.metric.clone());
    (
        tenant,
        metric,
        level.period_seconds,
        level.resolution,
        asked.resolution,
        width,
    )
}

/// What may be tried, the widest first. Over long times, work that is not asked for would be too much.
fn widths(asked: &Asked) -> impl Iterator<Item = Width> + use<> {
    let range = asked.view.range;
    let buckets = (range.to - range.from) / asked.level.period_seconds;
    let world = (buckets <= limits::WORLD_BUCKETS_MAX).then_some(Width::World);
    let tiles = match buckets <= limits::TILES_BUCKETS_MAX {
        true => tiles_for(&asked.place),
        false => None,
    };
    world.into_iter().chain(tiles)
}

/// The smallest tiles that are at least twice as wide and high as a box; none for one that is too large, or crosses the
/// antimeridian.
fn tiles_for(place: &BoundingBox) -> Option<Width> {
    let side = (place.east - place.west).max(place.north - place.south);
    if place.west > place.east {
        return None;
    }
    let halvings = (180.0 / side).log2().floor().min(limits::TILE_HALVINGS_MAX);
    (halvings >= 1.0).then_some(Width::Tiles(halvings as i32))
}

impl Width {
    /// A box of this width around another one.
    pub(super) fn around(self, place: &BoundingBox) -> BoundingBox {
        match self {
            Self::World => BoundingBox::WORLD,
            Self::Tiles(halvings) => {
                // Halves of 360 are exact, and so are their multiples.
                let step = 360.0 / 2_f64.powi(halvings);
                BoundingBox {
                    west: (place.west / step).floor() * step,
                    south: ((place.south / step).floor() * step).max(-90.0),
                    east: (place.east / step).ceil() * step,
                    north: ((place.north / step).ceil() * step).min(90.0),
                }
            }
        }
    }
}

impl Refusals {
    fn hold(&self, key: &Key) -> bool {
        let since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        since
            .get(key)
            .is_some_and(|since| since.elapsed() < limits::WIDE_REFUSED_FOR)
    }

    fn begin(&self, key: Key) {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        if since.len() >= limits::WIDE_REFUSALS_MAX {
            since.clear();
        }
        since.insert(key, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place(west: f64, south: f64, east: f64, north: f64) -> BoundingBox {
        BoundingBox {
            west,
            south,
            east,
            north,
        }
    }

    proptest! {
        #[test]
        fn tiles_hold_the_box_and_are_not_much_larger(
            west in -180.0..180.0_f64,
            south in -90.0..90.0_f64,
            width in 0.0..200.0_f64,
            height in 0.0..100.0_f64,
        ) {
            let asked = place(west, south, (west + width).min(180.0), (south + height).min(90.0));
            let Some(width) = tiles_for(&asked) else { return Ok(()) };
            let wide = width.around(&asked);
            prop_assert!(wide.west >= -180.0 && wide.south >= -90.0 && wide.east <= 180.0 && wide.north <= 90.0);
            for (latitude, longitude) in [(asked.south, asked.west), (asked.north, asked.east)] {
                prop_assert!(wide.holds(latitude, longitude), "{asked:?} {wide:?}");
            }
            let side = (asked.east - asked.west).max(asked.north - asked.south).max(0.05);
            prop_assert!(wide.east - wide.west <= 8.0 * side, "{asked:?} {wide:?}");
        }
    }

    #[test]
    fn who_pans_a_little_is_answered_by_the_same_tiles() {
        let (here, there) = (place(13.0, 52.2, 13.6, 52.6), place(13.05, 52.25, 13.65, 52.65));
        let width = tiles_for(&here).unwrap();
        assert_eq!(width, Width::Tiles(8), "1.40625° are twice 0.6°");
        assert_eq!(Some(width), tiles_for(&there));
        assert_eq!(width.around(&here), width.around(&there));
    }

    #[test]
    fn what_is_too_large_or_crosses_the_antimeridian_has_no_tiles() {
        assert_eq!(tiles_for(&place(-100.0, -10.0, 100.0, 10.0)), None);
        assert_eq!(tiles_for(&place(179.0, 0.0, -179.0, 1.0)), None);
        let smallest = tiles_for(&place(13.0, 52.0, 13.0, 52.0));
        assert_eq!(smallest, Some(Width::Tiles(limits::TILE_HALVINGS_MAX as i32)));
    }
}
