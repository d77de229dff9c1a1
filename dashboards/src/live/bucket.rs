//! One bucket being filled: hexagons merged from snapshots, and what has changed since when.
//!
//! Pure: no clock, no I/O. A hexagon is the sum over its accumulators of the newest version of each, so it does not matter
//! in which order, or how often, snapshots come. Changes are numbered by rounds: whoever knows a round gets exactly what
//! changed after it.

use std::collections::{BTreeMap, BTreeSet};

use geocache::{Snapshot, Values, snapshot::Source};
use h3o::{CellIndex, LatLng, Resolution};

/// A hexagon as it is shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Hexagon {
    pub(crate) cell: u64,
    /// `count` is 0 for one that was withdrawn.
    pub(crate) values: Values,
    /// Its centre, in degrees.
    pub(crate) latitude: f64,
    pub(crate) longitude: f64,
    /// The round in which it last changed.
    pub(crate) round: u64,
    /// The round in which it was first there.
    pub(crate) first_round: u64,
}

/// Hexagons that changed in one round, by resolution.
pub(crate) type Changes = BTreeMap<u8, Vec<Hexagon>>;

/// What a snapshot did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Applied {
    /// Nothing: it was known, or older than what is.
    Nothing,
    /// A value is another one.
    Changed,
    /// The store had other values for a version that was known: somebody mended them there.
    Corrected,
}

/// What is known of one bucket.
#[derive(Debug)]
pub(crate) struct Bucket {
    /// Its start, Unix seconds.
    pub(crate) start: u32,
    resolution: u8,
    sources: BTreeMap<u64, Vec<(Source, u64, Values)>>,
    /// Hexagons by resolution: the stored one, and coarser ones once somebody asked for them.
    layers: BTreeMap<u8, BTreeMap<u64, Hexagon>>,
    dirty: BTreeSet<u64>,
    round: u64,
}

impl Bucket {
    /// An empty one; `resolution` is the stored one.
    pub(crate) fn new(start: u32, resolution: u8) -> Self {
        Self {
            start,
            resolution,
            sources: BTreeMap::new(),
            layers: BTreeMap::from([(resolution, BTreeMap::new())]),
            dirty: BTreeSet::new(),
            round: 0,
        }
    }

    /// Rounds that ended so far.
    pub(crate) fn round(&self) -> u64 {
        self.round
    }

    /// Hexagons of the stored resolution.
    pub(crate) fn len(&self) -> usize {
        self.sources.len()
    }

    /// Takes in a snapshot. `is_stored`: it was read from the store, which is right where versions are equal.
    pub(crate) fn apply(&mut self, snapshot: &Snapshot, is_stored: bool) -> Applied {
        let sources = self.sources.entry(snapshot.cell).or_default();
        let applied = match sources.binary_search_by_key(&snapshot.source, |held| held.0) {
            Err(index) => {
                sources.insert(index, (snapshot.source, snapshot.version, snapshot.values));
                // One that is only known as withdrawn changes nothing.
                match snapshot.values.count {
                    0 => Applied::Nothing,
                    _ => Applied::Changed,
                }
            }
            Ok(index) => replace(&mut sources[index], snapshot, is_stored),
        };
        if applied != Applied::Nothing {
            self.dirty.insert(snapshot.cell);
        }
        applied
    }

    /// Ends a round: what has changed in it. None when nothing did.
    pub(crate) fn end_round(&mut self) -> Option<Changes> {
        if self.dirty.is_empty() {
            return None;
        }
        self.round += 1;
        let dirty = std::mem::take(&mut self.dirty);
        let mut changes = Changes::new();
        for (resolution, layer) in &mut self.layers {
            let touched: BTreeSet<u64> = match *resolution == self.resolution {
                true => dirty.clone(),
                false => dirty.iter().filter_map(|cell| parent(*cell, *resolution)).collect(),
            };
            let changed = changes.entry(*resolution).or_default();
            for cell in touched {
                let values = merged(&self.sources, cell, self.resolution);
                changed.push(change(layer, cell, values, self.round));
            }
        }
        Some(changes)
    }

    /// Hexagons of a resolution that changed after a round; all of them after none. Those withdrawn are left out when all
    /// are asked for. Only what ended rounds know is told.
    pub(crate) fn since(&mut self, resolution: u8, round: Option<u64>) -> impl Iterator<Item = &Hexagon> {
        self.lay(resolution);
        let layer = &self.layers[&resolution.min(self.resolution)];
        layer.values().filter(move |hexagon| match round {
            Some(round) => hexagon.round > round,
            None => hexagon.values.count > 0,
        })
    }

    /// Makes the hexagons of a coarser resolution, which rounds keep up from then on.
    fn lay(&mut self, resolution: u8) {
        if resolution >= self.resolution || self.layers.contains_key(&resolution) {
            return;
        }
        let mut layer: BTreeMap<u64, Hexagon> = BTreeMap::new();
        for fine in self.layers[&self.resolution].values() {
            let Some(cell) = parent(fine.cell, resolution) else {
                continue;
            };
            let coarse = layer
                .entry(cell)
                .or_insert_with(|| hexagon(cell, Values::NONE, fine.first_round));
            coarse.values = coarse.values.and(fine.values);
            coarse.round = coarse.round.max(fine.round);
            coarse.first_round = coarse.first_round.min(fine.first_round);
        }
        self.layers.insert(resolution, layer);
    }
}

fn replace(held: &mut (Source, u64, Values), snapshot: &Snapshot, is_stored: bool) -> Applied {
    let is_same_version = snapshot.version == held.1;
    if snapshot.version < held.1 || (is_same_version && !is_stored) {
        return Applied::Nothing;
    }
    held.1 = snapshot.version;
    let before = std::mem::replace(&mut held.2, snapshot.values);
    if before == snapshot.values || (before.count == 0 && snapshot.values.count == 0) {
        return Applied::Nothing;
    }
    match is_same_version {
        true => Applied::Corrected,
        false => Applied::Changed,
    }
}

fn change(layer: &mut BTreeMap<u64, Hexagon>, cell: u64, values: Values, round: u64) -> Hexagon {
    let held = layer.entry(cell).or_insert_with(|| hexagon(cell, values, round));
    held.values = values;
    held.round = round;
    *held
}

/// What a cell of the stored resolution or a coarser one holds.
fn merged(sources: &BTreeMap<u64, Vec<(Source, u64, Values)>>, cell: u64, stored: u8) -> Values {
    let held = sources.range(descendants(cell, stored)).flat_map(|(_, held)| held);
    held.fold(Values::NONE, |all, (_, _, values)| all.and(*values))
}

fn hexagon(cell: u64, values: Values, round: u64) -> Hexagon {
    let centre = CellIndex::try_from(cell).map(LatLng::from);
    let (latitude, longitude) = centre.map_or((f64::NAN, f64::NAN), |centre| (centre.lat(), centre.lng()));
    Hexagon {
        cell,
        values,
        latitude,
        longitude,
        round,
        first_round: round,
    }
}

/// The cell of a coarser resolution around a cell; none for what is no cell.
fn parent(cell: u64, resolution: u8) -> Option<u64> {
    let resolution = Resolution::try_from(resolution).ok()?;
    let parent = CellIndex::try_from(cell).ok()?.parent(resolution)?;
    Some(parent.into())
}

/// The cells of a finer resolution in a cell have numbers side by side: three bits for each resolution, from the top,
/// with ones below the last.
fn descendants(cell: u64, resolution: u8) -> std::ops::RangeInclusive<u64> {
    const RESOLUTION_SHIFT: u32 = 52;
    let own = (cell >> RESOLUTION_SHIFT) & 0xf;
    let base = (cell & !(0xf << RESOLUTION_SHIFT)) | (u64::from(resolution) << RESOLUTION_SHIFT);
    let bits = |resolution: u64| (1_u64 << (3 * (15 - resolution))) - 1;
    let free = bits(own) & !bits(u64::from(resolution));
    (base & !free)..=(base | free)
}

#[cfg(test)]
mod tests;
