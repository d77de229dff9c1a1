//! The accumulators of one level in numbered slots, so that links can name them.

use hashbrown::HashMap;

use super::accumulator::{Accumulator, CellKey, Sample};
use crate::limits::FETCHED_TOGETHER;

const LINKED: &str = "links end before their accumulators";

/// Accumulators of one level.
#[derive(Clone, Debug, Default)]
pub(super) struct LevelStore {
    slots: Vec<Option<Accumulator>>,
    numbers: HashMap<CellKey, u32, foldhash::fast::FixedState>,
    free: Vec<u32>,
    /// Slots changed since they were last written; an evicted one may still be named here.
    dirty: Vec<u32>,
    /// Slots that the next samples go to, in their order.
    pub(super) touching: Vec<u32>,
}

impl LevelStore {
    /// The slot of a cell; a new accumulator of generation `offset` if there is none.
    pub(super) fn slot(&mut self, key: CellKey, offset: u64) -> u32 {
        if let Some(slot) = self.numbers.get(&key) {
            return *slot;
        }
        self.insert(Accumulator::new(key, offset))
    }

    /// Adds an accumulator whose cell has none.
    pub(super) fn insert(&mut self, accumulator: Accumulator) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).expect("accumulators are bounded far below 2^32")
        });
        self.numbers.insert(accumulator.key, slot);
        self.slots[slot as usize] = Some(accumulator);
        slot
    }

    /// Adds each sample to the accumulator in the slot of `touching` at its place, and forgets these.
    pub(super) fn add(&mut self, samples: &[Sample]) {
        let mut touching = std::mem::take(&mut self.touching);
        debug_assert_eq!(touching.len(), samples.len(), "one slot for each sample");
        for (slots, samples) in touching.chunks(FETCHED_TOGETHER).zip(samples.chunks(FETCHED_TOGETHER)) {
            let peeks = slots
                .iter()
                .zip(samples)
                .map(|(slot, sample)| self.at(*slot).peek(sample));
            std::hint::black_box(peeks.fold(0, |all, one| all ^ one));
            for (slot, sample) in slots.iter().zip(samples) {
                self.touch(*slot).add(sample);
            }
        }
        touching.clear();
        self.touching = touching;
    }

    fn at(&self, slot: u32) -> &Accumulator {
        self.slots[slot as usize].as_ref().expect(LINKED)
    }

    /// The accumulator in a slot, about to be changed.
    fn touch(&mut self, slot: u32) -> &mut Accumulator {
        let accumulator = self.slots[slot as usize].as_mut().expect(LINKED);
        if !accumulator.dirty {
            accumulator.dirty = true;
            self.dirty.push(slot);
        }
        accumulator
    }

    /// Removes accumulators; those with changes not written yet are shown to `last_words` first.
    pub(super) fn evict(&mut self, condemned: impl Fn(&Accumulator) -> bool, mut last_words: impl FnMut(&Accumulator)) {
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let Some(accumulator) = slot.take_if(|accumulator| condemned(accumulator)) else {
                continue;
            };
            if accumulator.dirty {
                last_words(&accumulator);
            }
            self.numbers.remove(&accumulator.key);
            self.free.push(index as u32);
        }
    }

    /// Shows every changed accumulator once, and takes it as written.
    pub(super) fn drain_dirty(&mut self, mut write: impl FnMut(&Accumulator)) {
        for slot in self.dirty.drain(..) {
            if let Some(accumulator) = &mut self.slots[slot as usize]
                && accumulator.dirty
            {
                accumulator.dirty = false;
                write(accumulator);
                #[cfg(feature = "sabotage")]
                if platform::sabotage::Rule::SnapshotsAreAbsolute.is_broken() {
                    (accumulator.count, accumulator.sum) = (0, 0.0);
                }
            }
        }
    }

    pub(super) fn has_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Accumulators by slot.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Accumulator> {
        self.slots.iter().flatten()
    }
}
