//! All devices by tenant, and the nearest of them.
//!
//! Pure. Distances are those of `queries/nearby.sql`, and so is their order: distance, tenant, device. Must never hold more
//! devices than it may.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BinaryHeap},
    ops::Bound,
};

use geocache::Position;

use super::{
    fleet::{Filter, Fleet},
    sphere::vector,
};
use crate::api::view::EARTH_RADIUS_M;

/// Squares of lines through the globe this close to each other are looked at as one, for rounding: both they and distances
/// err by some 1e-15. Close by it is a third of a millimetre's square in a kilometre, or two metres next door.
const CHORD2_SLACK: f64 = 1e-13;

/// Larger than the square of any line through the globe.
const CHORD2_MAX: f64 = 5.0;

/// All devices.
#[derive(Default)]
pub(crate) struct Index {
    fleets: BTreeMap<String, Fleet>,
    count: usize,
}

/// Where the nearest are looked for.
#[derive(Clone, Debug)]
pub(crate) struct Around {
    /// Empty: all of them.
    pub(crate) tenant: String,
    pub(crate) latitude: f64,
    pub(crate) longitude: f64,
    pub(crate) radius_m: f64,
    pub(crate) count_max: usize,
}

/// A device that was found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Near {
    pub(crate) tenant: String,
    pub(crate) device: String,
    pub(crate) ts_ms: i64,
    pub(crate) latitude: f64,
    pub(crate) longitude: f64,
    pub(crate) distance_m: f64,
}

/// Along the great circle, on a sphere of the mean radius: the formula of the SQL, step by step.
pub(crate) fn distance_m(one: (f64, f64), other: (f64, f64)) -> f64 {
    let half_sine = |from: f64, to: f64| ((to - from).to_radians() / 2.0).sin();
    let (latitude, longitude) = (half_sine(one.0, other.0), half_sine(one.1, other.1));
    let cosines = one.0.to_radians().cos() * other.0.to_radians().cos();
    let haversine = latitude * latitude + cosines * (longitude * longitude);
    2.0 * EARTH_RADIUS_M * haversine.sqrt().atan2((1.0 - haversine).max(0.0).sqrt())
}

/// One of the nearest so far.
struct Candidate<'a> {
    distance_m: f64,
    tenant: &'a str,
    device: &'a str,
    fleet: &'a Fleet,
    number: u32,
    chord2: f64,
}

impl Candidate<'_> {
    fn order(&self, other: &Self) -> Ordering {
        self.distance_m
            .total_cmp(&other.distance_m)
            .then_with(|| (self.tenant, self.device).cmp(&(other.tenant, other.device)))
    }
}

impl PartialEq for Candidate<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.order(other).is_eq()
    }
}

impl Eq for Candidate<'_> {}

impl PartialOrd for Candidate<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Candidate<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order(other)
    }
}

impl Index {
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Takes in a position, unless a newer one is known. False when there is no room for another device.
    pub(crate) fn take(&mut self, position: &Position<'_>, count_max: usize) -> bool {
        let fleet = match self.fleets.get_mut(position.tenant) {
            Some(fleet) => fleet,
            None => self.fleets.entry(position.tenant.to_owned()).or_default(),
        };
        let before = fleet.len();
        fleet.take(position);
        self.count += fleet.len() - before;
        self.count <= count_max
    }

    /// The nearest devices, in the order of distance, tenant and device.
    pub(crate) fn nearest(&self, around: &Around) -> Vec<Near> {
        let from = vector(around.latitude, around.longitude);
        let half = (around.radius_m / EARTH_RADIUS_M / 2.0)
            .min(std::f64::consts::FRAC_PI_2)
            .sin();
        let mut bound = 4.0 * half * half + CHORD2_SLACK;
        let mut best: BinaryHeap<Candidate<'_>> = BinaryHeap::new();
        for (tenant, fleet) in self.fleets_of(&around.tenant, "") {
            fleet.sphere().nearest(&from, bound, |number, chord2| {
                let Some(degrees) = fleet.state(number).degrees() else {
                    return bound;
                };
                let candidate = Candidate {
                    distance_m: distance_m((around.latitude, around.longitude), degrees),
                    tenant,
                    device: fleet.name(number),
                    fleet,
                    number,
                    chord2,
                };
                let is_full = best.len() == around.count_max;
                let is_nearer = !is_full || best.peek().is_some_and(|last| candidate < *last);
                if candidate.distance_m <= around.radius_m && is_nearer {
                    if is_full {
                        best.pop();
                    }
                    best.push(candidate);
                }
                if best.len() == around.count_max {
                    let last = best.peek().map_or(CHORD2_MAX, |last| last.chord2);
                    bound = bound.min(last + CHORD2_SLACK);
                }
                bound
            });
        }
        let nearest = best.into_sorted_vec();
        nearest.iter().map(Candidate::found).collect()
    }

    /// The first so many devices after one, in the order of tenant and device.
    pub(crate) fn names(
        &self,
        tenant: &str,
        filter: &Filter,
        after: &(String, String),
        count_max: usize,
    ) -> Vec<(String, String)> {
        let mut names = Vec::new();
        for (of, fleet) in self.fleets_of(tenant, &after.0) {
            let after = if *of == after.0 { after.1.as_str() } else { "" };
            let found = fleet.names(filter, after, count_max - names.len());
            names.extend(found.into_iter().map(|name| (of.clone(), name)));
            if names.len() == count_max {
                break;
            }
        }
        names
    }

    /// Of one tenant, or of all from one on.
    fn fleets_of(&self, tenant: &str, from: &str) -> impl Iterator<Item = (&String, &Fleet)> {
        let (first, last) = match tenant.is_empty() {
            true => (Bound::Included(from), Bound::Unbounded),
            false => (Bound::Included(tenant), Bound::Included(tenant)),
        };
        let fleets = self.fleets.range::<str, _>((first, last));
        fleets.filter(move |(of, _)| of.as_str() >= from)
    }

    /// Memory that it takes.
    pub(crate) fn weight_bytes(&self) -> usize {
        let of_one = |(tenant, fleet): (&String, &Fleet)| size_of::<String>() + tenant.len() + fleet.weight_bytes();
        self.fleets.iter().map(of_one).sum()
    }
}

impl Candidate<'_> {
    fn found(&self) -> Near {
        let state = self.fleet.state(self.number);
        let (latitude, longitude) = state.degrees().expect("only what has a place has a distance");
        Near {
            tenant: self.tenant.to_owned(),
            device: self.device.to_owned(),
            ts_ms: state.ts_ms,
            latitude,
            longitude,
            distance_m: self.distance_m,
        }
    }
}

#[cfg(test)]
mod tests;
