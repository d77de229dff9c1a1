//! How many distinct devices: the k smallest of their hashes (bottom-k, also called KMV).
//!
//! Exact below k; above, the k-th smallest hash tells how dense the hashes lie, with a standard error of about
//! 1 / sqrt(k), 1.6 %. Sets unite by uniting hashes and keeping the k smallest, in Rust and in SQL alike.

/// Hashes kept. 16 KiB at most for a cell that saw thousands of devices, a few bytes for all others.
pub const HASHES_MAX: usize = 4_096;

/// Number of possible hashes: 2^32.
const HASH_SPACE: f64 = 4_294_967_296.0;

/// Hashes of distinct devices, rising.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DistinctDevices {
    hashes: Vec<u32>,
}

impl DistinctDevices {
    /// Counts a device; false when it was counted before (or its hash is too large to matter).
    pub fn insert(&mut self, hash: u32) -> bool {
        let Err(index) = self.hashes.binary_search(&hash) else {
            return false;
        };
        if index == HASHES_MAX {
            return false;
        }
        if self.hashes.len() == self.hashes.capacity() {
            self.hashes.reserve_exact((self.hashes.len() / 8).max(2));
        }
        self.hashes.insert(index, hash);
        self.hashes.truncate(HASHES_MAX);
        true
    }

    /// The hashes, rising.
    #[must_use]
    pub fn hashes(&self) -> &[u32] {
        &self.hashes
    }

    /// From rising hashes, at most [`HASHES_MAX`].
    #[must_use]
    pub fn from_hashes(hashes: Vec<u32>) -> Self {
        Self { hashes }
    }

    /// Number of distinct devices. SQL does the same over united hashes.
    #[must_use]
    pub fn estimate(&self) -> u64 {
        match self.hashes.get(HASHES_MAX - 1) {
            None => self.hashes.len() as u64,
            Some(largest) => ((HASHES_MAX - 1) as f64 * HASH_SPACE / f64::from((*largest).max(1))).round() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
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
        assert!(!devices.insert(hash(0)));
    }

    #[test]
    fn many_devices_are_estimated_within_five_percent() {
        let mut devices = DistinctDevices::default();
        (0..200_000).for_each(|device| {
            devices.insert(hash(device));
        });
        let error = (devices.estimate() as f64 - 200_000.0).abs() / 200_000.0;
        assert!(error < 0.05, "{error}");
        assert_eq!(devices.hashes().len(), HASHES_MAX);
    }
}
