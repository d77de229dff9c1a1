//! The devices of a partition, bounded in count and age by the same two generations as [`crate::dedupe::recent`]:
//! a device heard of again moves to the young generation, and the old one is forgotten as a whole.

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::{DeviceState, clock::ClockQuality};

type Devices = HashMap<Box<str>, DeviceState, foldhash::fast::FixedState>;

/// Devices by key (`tenant/device`).
#[derive(Clone, Debug, Default)]
pub struct DeviceTable {
    young: Devices,
    old: Devices,
    /// Log clock when the young generation began.
    young_since_ms: i64,
    /// Keys changed since they were last written.
    dirty: Vec<Box<str>>,
}

/// Bounds of a [`DeviceTable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceLimits {
    /// Most devices known at any time.
    pub count_max: usize,
    /// A silent device is known at least this long by the log clock, unless the count forces it out.
    pub age_ms: i64,
}

impl DeviceTable {
    /// The device of a key, new if not known. Devices that have to go are shown to `last_words` if they have changes
    /// not written yet.
    pub fn touch(
        &mut self,
        key: &str,
        log_clock_ms: i64,
        limits: DeviceLimits,
        last_words: impl FnMut(&str, &DeviceState),
    ) -> &mut DeviceState {
        if !self.young.contains_key(key) {
            let state = self.old.remove(key).unwrap_or_else(|| DeviceState::new(key.as_bytes()));
            self.turn_generations(log_clock_ms, limits, last_words);
            self.young.insert(key.into(), state);
        }
        let state = self.young.get_mut(key).expect("it was put there");
        if !state.dirty {
            state.dirty = true;
            self.dirty.push(key.into());
        }
        state
    }

    /// Puts in a device that was known before; there is nothing to be written of it. Those heard of longest ago come
    /// first.
    pub fn put_back(&mut self, key: &str, state: DeviceState, heard_ms: i64, limits: DeviceLimits) {
        self.turn_generations(heard_ms, limits, |_, _| {});
        self.young.insert(key.into(), state);
    }

    /// Reads what the next event of a device will need, to have it fetched. The result means nothing.
    #[must_use]
    pub fn peek(&self, key: &[u8]) -> u64 {
        let device = std::str::from_utf8(key).ok().and_then(|key| self.young.get(key));
        device.map_or(0, DeviceState::peek)
    }

    fn turn_generations(
        &mut self,
        log_clock_ms: i64,
        limits: DeviceLimits,
        mut last_words: impl FnMut(&str, &DeviceState),
    ) {
        let full = self.young.len() >= limits.count_max / 2;
        let aged = log_clock_ms.saturating_sub(self.young_since_ms) >= limits.age_ms;
        if full || aged {
            let gone = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
            gone.iter()
                .filter(|(_, state)| state.dirty)
                .for_each(|(key, state)| last_words(key, state));
            self.young_since_ms = log_clock_ms;
        }
    }

    /// Shows every changed device once, and takes it as written.
    pub fn drain_dirty(&mut self, mut write: impl FnMut(&str, &DeviceState)) {
        for key in self.dirty.drain(..) {
            let state = self.young.get_mut(&key).or_else(|| self.old.get_mut(&key));
            if let Some(state) = state.filter(|state| state.dirty) {
                state.dirty = false;
                write(&key, state);
            }
        }
    }

    /// True when a device has changed since it was last written.
    #[must_use]
    pub fn has_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Number of devices known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// True when no device is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is known of clocks, by key; those that never claimed a time are left out.
    pub fn clocks(&self) -> impl Iterator<Item = (&str, &ClockQuality)> {
        let all = self.young.iter().chain(&self.old);
        all.filter(|(_, state)| state.clock.claim_count > 0)
            .map(|(key, state)| (&**key, &state.clock))
    }

    /// Puts back what is known of the clock of a device that is known.
    pub fn restore_clock(&mut self, key: &str, clock: ClockQuality) {
        if let Some(state) = self.young.get_mut(key).or_else(|| self.old.get_mut(key)) {
            state.clock = clock;
        }
    }

    /// All devices, in no order that may matter.
    pub fn states(&self) -> impl Iterator<Item = &DeviceState> {
        self.young.values().chain(self.old.values())
    }
}

/// A [`DeviceTable`] in a checkpoint: sorted, so that equal tables have equal bytes.
#[derive(Debug, Serialize, Deserialize)]
pub struct DeviceTableV1 {
    young: Vec<(String, DeviceState)>,
    old: Vec<(String, DeviceState)>,
    young_since_ms: i64,
}

impl From<&DeviceTable> for DeviceTableV1 {
    fn from(table: &DeviceTable) -> Self {
        let sorted = |devices: &Devices| {
            let mut sorted: Vec<_> = devices
                .iter()
                .map(|(key, state)| (key.to_string(), state.clone()))
                .collect();
            sorted.sort_unstable_by(|one, other| one.0.cmp(&other.0));
            sorted
        };
        Self {
            young: sorted(&table.young),
            old: sorted(&table.old),
            young_since_ms: table.young_since_ms,
        }
    }
}

impl From<DeviceTableV1> for DeviceTable {
    fn from(wire: DeviceTableV1) -> Self {
        let map = |devices: Vec<(String, DeviceState)>| {
            devices
                .into_iter()
                .map(|(key, state)| (key.into_boxed_str(), state))
                .collect()
        };
        Self {
            young: map(wire.young),
            old: map(wire.old),
            young_since_ms: wire.young_since_ms,
            dirty: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: DeviceLimits = DeviceLimits {
        count_max: 10,
        age_ms: 1_000,
    };

    #[test]
    fn an_active_device_is_never_forgotten_and_the_table_stays_bounded() {
        let mut table = DeviceTable::default();
        for index in 0..1_000i64 {
            table.touch("t/active", 0, LIMITS, |_, _| {}).last_offset = 42;
            table.touch(&format!("t/{index}"), 0, LIMITS, |_, _| {});
            assert!(table.len() <= 10);
        }
        assert_eq!(table.touch("t/active", 0, LIMITS, |_, _| {}).last_offset, 42);
    }

    #[test]
    fn a_device_that_has_to_go_is_written_first_if_it_changed() {
        let mut table = DeviceTable::default();
        let mut written = Vec::new();
        for index in 0..30 {
            table.touch(&format!("t/{index}"), 0, LIMITS, |key, _| written.push(key.to_owned()));
        }
        table.drain_dirty(|key, _| written.push(key.to_owned()));
        written.sort();
        written.dedup();
        assert_eq!(written.len(), 30);
    }
}
