//! How many distinct devices: the k smallest of their hashes (bottom-k, also called KMV).
//!
//! Exact below k; above, the k-th smallest hash tells how dense the hashes lie, with a standard error of about
//! 1 / sqrt(k), 1.6 %. Sets unite by uniting hashes and keeping the k smallest, in Rust and in SQL alike.

use std::borrow::Cow;

/// Hashes kept. 16 KiB at most for a cell that saw thousands of devices, a few bytes for all others.
pub const HASHES_MAX: usize = 4_096;

/// Number of possible hashes: 2^32.
const HASH_SPACE: f64 = 4_294_967_296.0;

/// Hashes kept in the set itself: most cells see no more devices, and need no memory elsewhere.
const FEW_MAX: usize = 3;
/// Hashes of a large set that wait to be sorted in: at least so many, or an eighth of it, so that each is moved about
/// eight times however large the set is.
const WAITING_MIN: usize = 8;

/// Hashes of distinct devices. What form the set has is never seen from outside.
#[derive(Clone, Debug)]
pub struct DistinctDevices(Hashes);

#[derive(Clone, Debug)]
enum Hashes {
    /// Rising.
    Few {
        count: u8,
        hashes: [u32; FEW_MAX],
    },
    Many(Box<Many>),
}

#[derive(Clone, Debug)]
struct Many {
    /// Rising.
    sorted: Vec<u32>,
    /// In the order they came, some of them sorted in already.
    waiting: Vec<u32>,
}

impl Default for DistinctDevices {
    fn default() -> Self {
        Self(Hashes::Few {
            count: 0,
            hashes: [0; FEW_MAX],
        })
    }
}

impl DistinctDevices {
    /// Counts a device, if it was not counted before.
    pub fn insert(&mut self, hash: u32) {
        match &mut self.0 {
            Hashes::Many(many) => many.insert(hash),
            Hashes::Few { count, hashes } => {
                let Err(index) = hashes[..usize::from(*count)].binary_search(&hash) else {
                    return;
                };
                if usize::from(*count) < FEW_MAX {
                    hashes.copy_within(index..usize::from(*count), index + 1);
                    hashes[index] = hash;
                    *count += 1;
                } else {
                    self.0 = Hashes::Many(Box::new(Many {
                        sorted: hashes.to_vec(),
                        waiting: vec![hash],
                    }));
                }
            }
        }
    }

    /// Was the device counted before?
    #[must_use]
    pub fn contains(&self, hash: u32) -> bool {
        match &self.0 {
            Hashes::Few { count, hashes } => hashes[..usize::from(*count)].contains(&hash),
            Hashes::Many(many) => many.waiting.contains(&hash) || many.sorted.binary_search(&hash).is_ok(),
        }
    }

    /// The hashes, rising.
    #[must_use]
    pub fn hashes(&self) -> Cow<'_, [u32]> {
        match &self.0 {
            Hashes::Few { count, hashes } => Cow::Borrowed(&hashes[..usize::from(*count)]),
            Hashes::Many(many) if many.waiting.is_empty() => Cow::Borrowed(&many.sorted),
            Hashes::Many(many) => {
                let mut settled = many.clone();
                settled.settle();
                Cow::Owned(settled.sorted)
            }
        }
    }

    /// From rising hashes, at most [`HASHES_MAX`].
    #[must_use]
    pub fn from_hashes(hashes: Vec<u32>) -> Self {
        if hashes.len() > FEW_MAX {
            return Self(Hashes::Many(Box::new(Many {
                sorted: hashes,
                waiting: Vec::new(),
            })));
        }
        let mut few = [0; FEW_MAX];
        few[..hashes.len()].copy_from_slice(&hashes);
        Self(Hashes::Few {
            count: hashes.len() as u8,
            hashes: few,
        })
    }

    /// Number of distinct devices. SQL does the same over united hashes.
    #[must_use]
    pub fn estimate(&self) -> u64 {
        let hashes = self.hashes();
        match hashes.get(HASHES_MAX - 1) {
            None => hashes.len() as u64,
            Some(largest) => ((HASHES_MAX - 1) as f64 * HASH_SPACE / f64::from((*largest).max(1))).round() as u64,
        }
    }
}

impl Many {
    fn insert(&mut self, hash: u32) {
        // In a full set only smaller hashes than the largest matter.
        if self.sorted.len() == HASHES_MAX && self.sorted[HASHES_MAX - 1] <= hash {
            return;
        }
        self.waiting.push(hash);
        if self.waiting.len() >= WAITING_MIN.max(self.sorted.len() / 8) {
            self.settle();
        }
    }

    fn settle(&mut self) {
        self.waiting.sort_unstable();
        let mut merged = Vec::with_capacity((self.sorted.len() + self.waiting.len()).min(HASHES_MAX));
        let mut old = self.sorted.iter().copied().peekable();
        let mut new = self.waiting.iter().copied().peekable();
        while merged.len() < HASHES_MAX {
            let next = match (old.peek(), new.peek()) {
                (Some(old), Some(new)) => *old.min(new),
                (Some(one), None) | (None, Some(one)) => *one,
                (None, None) => break,
            };
            merged.push(next);
            old.next_if_eq(&next);
            while new.next_if_eq(&next).is_some() {}
        }
        self.sorted = merged;
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hash(device: u32) -> u32 {
        xxhash_rust::xxh3::xxh3_64(&device.to_le_bytes()) as u32
    }

    #[test]
    fn few_devices_are_counted_exactly() {
        let mut devices = DistinctDevices::default();
        for device in (0..1_000).chain(0..1_000) {
            devices.insert(hash(device));
        }
        assert_eq!(devices.estimate(), 1_000);
        assert!(devices.contains(hash(0)) && !devices.contains(hash(1_000)));
    }

    #[test]
    fn many_devices_are_estimated_within_five_percent() {
        let mut devices = DistinctDevices::default();
        (0..200_000).for_each(|device| devices.insert(hash(device)));
        let error = (devices.estimate() as f64 - 200_000.0).abs() / 200_000.0;
        assert!(error < 0.05, "{error}");
        assert_eq!(devices.hashes().len(), HASHES_MAX);
    }

    proptest! {
        /// However large it is and whenever it was saved, it holds the smallest hashes.
        #[test]
        fn a_set_holds_the_smallest_hashes(
            hashes in proptest::collection::vec(0..20_000u32, 1..12_000), restore_at in 0..12_000usize,
        ) {
            let mut expected = std::collections::BTreeSet::new();
            let mut devices = DistinctDevices::default();
            for (index, hash) in hashes.into_iter().enumerate() {
                expected.insert(hash);
                devices.insert(hash);
                if index == restore_at {
                    devices = DistinctDevices::from_hashes(devices.hashes().into_owned());
                }
            }
            let smallest: Vec<u32> = expected.into_iter().take(HASHES_MAX).collect();
            prop_assert_eq!(devices.hashes().into_owned(), smallest);
        }
    }
}
