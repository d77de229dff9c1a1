//! The devices of one tenant: their names, and where each was last.
//!
//! Pure. Of the positions of a device in one log partition the highest version holds, and of several partitions the one with
//! the latest time, then the highest partition: the rule of the view `devices`. Must never hold a position in the sphere that
//! is not the one of that rule.

use std::{
    collections::{BinaryHeap, HashMap},
    hash::BuildHasher,
};

use geocache::Position;
use hashbrown::{DefaultHashBuilder, HashTable};
use memchr::memmem;
use schemas::rows::COORDINATE_UNKNOWN_E7;

use super::sphere::{Sphere, Vector, vector};
use crate::api::view::BoundingBox;

/// Ends each name: no name has it.
const END: u8 = b'\n';

/// Where a device was, as one log partition knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    version: u64,
    pub(crate) ts_ms: i64,
    latitude_e7: i32,
    longitude_e7: i32,
    partition: u16,
}

/// The devices of a tenant, numbered in the order in which they became known.
#[derive(Default)]
pub(crate) struct Fleet {
    /// All names, each with its end; and the same in small letters, to be searched.
    names: Vec<u8>,
    folded: Vec<u8>,
    starts: Vec<u32>,
    numbers: HashTable<u32>,
    hasher: DefaultHashBuilder,
    states: Vec<State>,
    /// What other partitions say of devices that were in several, as after the topic was given more of them.
    others: HashMap<u32, Vec<State>>,
    sphere: Sphere,
}

/// Which devices are listed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    /// A part of the name, in small letters; empty: any.
    pub(crate) search: String,
    pub(crate) place: Option<BoundingBox>,
}

impl State {
    fn of(position: &Position<'_>) -> Self {
        Self {
            version: position.version,
            ts_ms: position.ts_ms,
            latitude_e7: position.latitude_e7,
            longitude_e7: position.longitude_e7,
            partition: position.partition,
        }
    }

    /// Degrees, as the view has them.
    pub(crate) fn degrees(&self) -> Option<(f64, f64)> {
        let is_known = self.latitude_e7 != COORDINATE_UNKNOWN_E7 && self.longitude_e7 != COORDINATE_UNKNOWN_E7;
        is_known.then(|| (f64::from(self.latitude_e7) / 1e7, f64::from(self.longitude_e7) / 1e7))
    }

    fn place(&self) -> Option<Vector> {
        self.degrees().map(|(latitude, longitude)| vector(latitude, longitude))
    }

    fn order(&self) -> (i64, u16) {
        (self.ts_ms, self.partition)
    }
}

impl Fleet {
    pub(crate) fn len(&self) -> usize {
        self.starts.len()
    }

    pub(crate) fn sphere(&self) -> &Sphere {
        &self.sphere
    }

    pub(crate) fn state(&self, number: u32) -> &State {
        &self.states[number as usize]
    }

    pub(crate) fn name(&self, number: u32) -> &str {
        let start = self.starts[number as usize] as usize;
        let next = self.starts.get(number as usize + 1);
        let end = next.map_or(self.names.len(), |next| *next as usize) - 1;
        str::from_utf8(&self.names[start..end]).expect("only whole names are put")
    }

    /// Takes in a position, unless a newer one is known.
    pub(crate) fn take(&mut self, position: &Position<'_>) {
        let told = State::of(position);
        let hash = self.hasher.hash_one(position.device);
        let number = self
            .numbers
            .find(hash, |number| self.name(*number) == position.device)
            .copied();
        let Some(number) = number else {
            self.add(hash, position.device, told);
            return;
        };
        let held = self.states[number as usize];
        if held.partition == told.partition && !self.others.contains_key(&number) {
            if told.version > held.version {
                self.show(number, told);
            }
            return;
        }
        let mut states = self.others.remove(&number).unwrap_or_default();
        states.push(held);
        match states.iter_mut().find(|state| state.partition == told.partition) {
            Some(known) if told.version > known.version => *known = told,
            Some(_) => {}
            None => states.push(told),
        }
        let newest = (0..states.len()).max_by_key(|index| states[*index].order());
        let newest = states.swap_remove(newest.expect("there is one"));
        self.others.insert(number, states);
        self.show(number, newest);
    }

    fn add(&mut self, hash: u64, name: &str, state: State) {
        let number = u32::try_from(self.starts.len()).expect("the number of devices is bounded");
        self.starts
            .push(u32::try_from(self.names.len()).expect("names are short, and their number is bounded"));
        self.names.extend_from_slice(name.as_bytes());
        self.names.push(END);
        self.folded.extend(name.bytes().map(|byte| byte.to_ascii_lowercase()));
        self.folded.push(END);
        self.states.push(state);
        if let Some(place) = state.place() {
            self.sphere.insert(number, place);
        }
        let Self {
            numbers,
            names,
            starts,
            hasher,
            ..
        } = self;
        let name_of = |number: u32| {
            let start = starts[number as usize] as usize;
            let end = memchr::memchr(END, &names[start..]).expect("each name has its end");
            str::from_utf8(&names[start..start + end]).expect("only whole names are put")
        };
        numbers.insert_unique(hash, number, |number| hasher.hash_one(name_of(*number)));
    }

    fn show(&mut self, number: u32, state: State) {
        let held = std::mem::replace(&mut self.states[number as usize], state);
        if (held.latitude_e7, held.longitude_e7) == (state.latitude_e7, state.longitude_e7) {
            return;
        }
        match (held.place(), state.place()) {
            (Some(from), Some(to)) => self.sphere.relocate(number, &from, to),
            (Some(from), None) => self.sphere.remove(number, &from),
            (None, Some(to)) => self.sphere.insert(number, to),
            (None, None) => {}
        }
    }

    /// The first so many names after one, in their order.
    pub(crate) fn names(&self, filter: &Filter, after: &str, count_max: usize) -> Vec<String> {
        let mut first: BinaryHeap<&str> = BinaryHeap::with_capacity(count_max + 1);
        let mut look = |number: u32| {
            let name = self.name(number);
            let is_in = filter.place.as_ref().is_none_or(|place| {
                let degrees = self.state(number).degrees();
                degrees.is_some_and(|(latitude, longitude)| place.holds(latitude, longitude))
            });
            let is_wanted = first.len() < count_max || first.peek().is_some_and(|last| name < *last);
            if is_in && is_wanted && name > after {
                first.push(name);
                if first.len() > count_max {
                    first.pop();
                }
            }
        };
        match filter.search.is_empty() {
            true => (0..self.starts.len() as u32).for_each(&mut look),
            false => self.matches(&filter.search, &mut look),
        }
        first.into_sorted_vec().into_iter().map(str::to_owned).collect()
    }

    /// Each device once whose name has this in it.
    fn matches(&self, search: &str, look: &mut impl FnMut(u32)) {
        let finder = memmem::Finder::new(search);
        let mut from = 0;
        while let Some(found) = finder.find(&self.folded[from..]) {
            let number = self.starts.partition_point(|start| *start as usize <= from + found) - 1;
            look(u32::try_from(number).expect("numbers have 32 bits"));
            match self.starts.get(number + 1) {
                Some(next) => from = *next as usize,
                None => return,
            }
        }
    }

    /// Memory that it takes.
    pub(crate) fn weight_bytes(&self) -> usize {
        let others = self
            .others
            .values()
            .map(|states| states.capacity() * size_of::<State>());
        size_of::<Self>()
            + self.names.capacity()
            + self.folded.capacity()
            + self.starts.capacity() * size_of::<u32>()
            + self.numbers.allocation_size()
            + self.states.capacity() * size_of::<State>()
            + self.others.capacity() * size_of::<(u32, Vec<State>)>()
            + others.sum::<usize>()
            + self.sphere.weight_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(fleet: &mut Fleet, device: &str, partition: u16, version: u64, ts_ms: i64, latitude_e7: i32) {
        fleet.take(&Position {
            tenant: "acme",
            device,
            partition,
            version,
            ts_ms,
            latitude_e7,
            longitude_e7: latitude_e7,
        });
    }

    fn shown(fleet: &Fleet, device: &str) -> (i64, i32) {
        let number = (0..fleet.len() as u32).find(|number| fleet.name(*number) == device);
        let state = fleet.state(number.unwrap());
        (state.ts_ms, state.latitude_e7)
    }

    #[test]
    fn of_one_partition_the_version_decides_and_of_several_the_time() {
        let mut fleet = Fleet::default();
        take(&mut fleet, "a", 1, 5, 100, 10);
        take(&mut fleet, "a", 1, 4, 900, 20);
        assert_eq!(shown(&fleet, "a"), (100, 10), "an older version never shows");
        take(&mut fleet, "a", 1, 6, 50, 30);
        assert_eq!(
            shown(&fleet, "a"),
            (50, 30),
            "a newer version shows, whatever its time is"
        );
        take(&mut fleet, "a", 2, 1, 40, 40);
        assert_eq!(shown(&fleet, "a"), (50, 30));
        take(&mut fleet, "a", 2, 2, 50, 50);
        assert_eq!(
            shown(&fleet, "a"),
            (50, 50),
            "at one time the higher partition is shown"
        );
        take(&mut fleet, "a", 1, 7, 60, 60);
        assert_eq!(shown(&fleet, "a"), (60, 60));
        // What one partition takes back, the other one still knows.
        take(&mut fleet, "a", 1, 8, 10, 70);
        assert_eq!(shown(&fleet, "a"), (50, 50));
        assert_eq!(fleet.len(), 1);
    }

    #[test]
    fn names_come_in_order_whatever_part_of_them_is_asked_for() {
        let mut fleet = Fleet::default();
        for name in ["bus-9", "Tram-1", "bus-10", "TRAM-bus", "b", "us"] {
            take(&mut fleet, name, 0, 1, 1, i32::MIN);
        }
        let names = |search: &str, after: &str, count_max| {
            let filter = Filter {
                search: search.to_owned(),
                place: None,
            };
            fleet.names(&filter, after, count_max).join(" ")
        };
        assert_eq!(names("", "", 9), "TRAM-bus Tram-1 b bus-10 bus-9 us");
        assert_eq!(names("us", "", 9), "TRAM-bus bus-10 bus-9 us");
        assert_eq!(names("us", "TRAM-bus", 2), "bus-10 bus-9");
        assert_eq!(names("tram", "", 9), "TRAM-bus Tram-1");
        // Never across the end of a name.
        assert_eq!(names("9tram", "", 9), "");
        assert_eq!(names("none", "", 9), "");
    }
}
