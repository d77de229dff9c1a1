//! Quantiles within 1 % of the value, from a histogram with logarithmic bins (DDSketch, Masson et al. 2019).
//!
//! Bin `k` of positive values holds `gamma^(k-1) < v <= gamma^k`; its value `2 gamma^k / (gamma + 1)` is within 1 % of
//! all of them. Bins are plain counts, so sketches add up in any order, in Rust and in SQL alike. The logarithm is a
//! portable one: equal values fall into equal bins on every machine.

/// Ratio of neighbouring bin bounds for a relative error of 1 %: (1 + 0.01) / (1 - 0.01).
pub const GAMMA: f64 = 1.01 / 0.99;
/// Added to a bin's exponent, so that keys of positive values are positive and keys of negative ones negative.
pub const KEY_OFFSET: i16 = 12_000;
/// Largest exponent kept: about 1e104; beyond it a value counts in the outermost bin.
const EXPONENT_MAX: f64 = 11_999.0;
/// Magnitudes below this count as zero: no quantity is measured that finely.
const ZERO_BELOW: f64 = 1e-100;
/// Bins of one sketch: values over 17 powers of ten. Past it the bins of smallest magnitude are merged, where a
/// relative error matters least.
pub const BINS_MAX: usize = 2_048;

/// The bin of a finite value.
#[must_use]
pub fn bin_key(value: f64) -> i16 {
    let magnitude = value.abs();
    if magnitude < ZERO_BELOW {
        return 0;
    }
    let exponent = (libm::log(magnitude) / ln_gamma())
        .ceil()
        .clamp(-EXPONENT_MAX, EXPONENT_MAX) as i16;
    let key = KEY_OFFSET + exponent;
    if value < 0.0 { -key } else { key }
}

/// The value that stands for a bin.
#[must_use]
pub fn bin_value(key: i16) -> f64 {
    let exponent = f64::from(key.abs() - KEY_OFFSET);
    match key {
        0 => 0.0,
        _ => f64::from(key.signum()) * 2.0 * libm::pow(GAMMA, exponent) / (GAMMA + 1.0),
    }
}

fn ln_gamma() -> f64 {
    // ln(1.01 / 0.99), to the last bit of a double.
    0.020_000_666_706_669_435
}

/// Values kept as they come, before they are counted in bins.
const RECENT_MAX: usize = 11;

/// Counts by bin.
///
/// Most cells see few values, and memory elsewhere is slow to reach: the last few keys wait in the sketch itself, and
/// cells that see no more have nothing else. Which form a sketch has is never seen from outside.
#[derive(Clone, Debug, Default)]
pub struct Sketch {
    /// Keys not counted in `settled` yet.
    recent: [i16; RECENT_MAX],
    recent_count: u8,
    settled: Option<Box<Bins>>,
}

impl Sketch {
    /// Counts one value by its bin.
    pub fn add(&mut self, key: i16) {
        if let Some(bins) = &mut self.settled {
            let was = bins.len();
            if bins.add_to_run(key) {
                if bins.len() != was && bins.is_nearly_full() {
                    self.settle().bound();
                }
                return;
            }
        }
        // What is merged when a sketch is full must not depend on what waits: nothing waits in one that is nearly full.
        let nearly_full = self.settled.as_ref().is_some_and(|bins| bins.is_nearly_full());
        if usize::from(self.recent_count) < RECENT_MAX && !nearly_full {
            self.recent[usize::from(self.recent_count)] = key;
            self.recent_count += 1;
            return;
        }
        let bins = self.settle();
        bins.add(key);
        bins.bound();
    }

    /// Reads what [`Self::add`] will change, to have it fetched. The result means nothing.
    #[must_use]
    pub fn peek(&self, key: i16) -> u64 {
        let bins = self.settled.as_ref();
        let counter = bins.and_then(|bins| bins.run.get(bins.run_index(key)?));
        u64::from(self.recent_count) ^ counter.map_or(0, |counter| u64::from(*counter))
    }

    /// The bins that have a count, keys rising.
    pub fn bins(&self) -> impl Iterator<Item = (i16, u32)> {
        let mut waiting = self.recent;
        waiting[..usize::from(self.recent_count)].sort_unstable();
        let mut waiting = waiting.into_iter().take(self.recent_count.into()).peekable();
        let mut settled = self.settled.iter().flat_map(|bins| bins.iter()).peekable();
        std::iter::from_fn(move || {
            let key = match (settled.peek(), waiting.peek()) {
                (Some(bin), Some(key)) => bin.0.min(*key),
                (Some(bin), None) => bin.0,
                (None, Some(key)) => *key,
                (None, None) => return None,
            };
            let mut count = settled.next_if(|bin| bin.0 == key).map_or(0, |bin| bin.1);
            while waiting.next_if_eq(&key).is_some() {
                count = count.saturating_add(1);
            }
            Some((key, count))
        })
    }

    /// From bins with rising keys, at most [`BINS_MAX`].
    #[must_use]
    pub fn from_bins(bins: Vec<(i16, u32)>) -> Self {
        Self {
            settled: (!bins.is_empty()).then(|| Box::new(Bins::new(bins))),
            ..Self::default()
        }
    }

    /// The quantile `q` in 0..=1 of the values counted; NaN when there are none. SQL does the same over merged bins.
    #[must_use]
    pub fn quantile(&self, q: f64) -> f64 {
        let count: u64 = self.bins().map(|bin| u64::from(bin.1)).sum();
        let rank = q * count.saturating_sub(1) as f64;
        let mut seen = 0u64;
        let bin = self.bins().find(|bin| {
            seen += u64::from(bin.1);
            seen as f64 > rank
        });
        bin.map_or(f64::NAN, |bin| bin_value(bin.0))
    }

    /// Counts the keys that wait.
    fn settle(&mut self) -> &mut Bins {
        let bins = self.settled.get_or_insert_default();
        for key in &self.recent[..usize::from(self.recent_count)] {
            bins.add(*key);
        }
        self.recent_count = 0;
        bins
    }
}

/// Counters of bins: a short sorted list, and where values crowd a run of counters with no gaps, found without a search.
#[derive(Clone, Debug, Default)]
struct Bins {
    /// Keys rising; all bins that no run covers.
    sparse: Vec<(i16, u32)>,
    /// Counters of consecutive keys from `run_start` on; empty until there are enough bins close together.
    run: Vec<u32>,
    run_start: i16,
    /// Bins of the run with a count.
    run_bins: usize,
}

/// Bins of a list before a run is tried: below, searching is as fast.
const SPARSE_BINS: usize = 12;
/// Counters of a run for each bin with a count, at most: 4 bytes each, against 8 for an entry of the list.
const RUN_SPREAD: usize = 4;

impl Bins {
    fn new(bins: Vec<(i16, u32)>) -> Self {
        let mut new = Self {
            sparse: bins,
            ..Self::default()
        };
        new.gather_run();
        new
    }

    fn len(&self) -> usize {
        self.sparse.len() + self.run_bins
    }

    /// Could keys that wait make it too many?
    fn is_nearly_full(&self) -> bool {
        self.len() + RECENT_MAX >= BINS_MAX
    }

    fn iter(&self) -> impl Iterator<Item = (i16, u32)> {
        // The list has no key within the run, so the run fits between two of its entries.
        let (below, above) = self
            .sparse
            .split_at(self.sparse.partition_point(|bin| bin.0 < self.run_start));
        let run = self.run.iter().enumerate().filter(|(_, count)| **count > 0);
        let run = run.map(|(index, count)| (self.run_start + index as i16, *count));
        below.iter().copied().chain(run).chain(above.iter().copied())
    }

    fn add(&mut self, key: i16) {
        if !self.add_to_run(key) {
            self.add_sparse(key);
        }
    }

    fn run_index(&self, key: i16) -> Option<usize> {
        usize::try_from(i32::from(key) - i32::from(self.run_start)).ok()
    }

    /// False when the run does not cover the key.
    fn add_to_run(&mut self, key: i16) -> bool {
        let Some(counter) = self.run_index(key).and_then(|index| self.run.get_mut(index)) else {
            return false;
        };
        self.run_bins += usize::from(*counter == 0);
        *counter = counter.saturating_add(1);
        true
    }

    fn add_sparse(&mut self, key: i16) {
        match self.sparse.binary_search_by_key(&key, |bin| bin.0) {
            Ok(index) => self.sparse[index].1 = self.sparse[index].1.saturating_add(1),
            Err(index) => {
                if self.sparse.len() == self.sparse.capacity() {
                    // Small steps: there are many sketches, and most stay as they are.
                    self.sparse.reserve_exact((self.sparse.len() / 8).max(RECENT_MAX));
                }
                self.sparse.insert(index, (key, 1));
                // Trying costs a pass over the bins, so only when the list has grown by a good part.
                if self.sparse.len().is_multiple_of(SPARSE_BINS) {
                    self.gather_run();
                }
            }
        }
    }

    /// Puts the longest crowd of bins into the run.
    fn gather_run(&mut self) {
        let bins: Vec<(i16, u32)> = self.iter().collect();
        let crowd = longest_crowd(&bins);
        (self.run, self.run_bins, self.sparse) = (Vec::new(), 0, Vec::new());
        let (Some(first), Some(last)) = (bins.get(crowd.start), bins[..crowd.end].last()) else {
            return self.sparse = bins;
        };
        self.run_start = first.0;
        self.run = vec![0; (last.0 - first.0) as usize + 1];
        for (key, count) in &bins[crowd.clone()] {
            self.run[(*key - self.run_start) as usize] = *count;
        }
        self.run_bins = crowd.len();
        self.sparse = [&bins[..crowd.start], &bins[crowd.end..]].concat();
    }

    /// Merges the bins of smallest magnitude while there are too many.
    fn bound(&mut self) {
        while self.len() > BINS_MAX {
            let mut bins: Vec<(i16, u32)> = self.iter().collect();
            let smallest = (0..bins.len())
                .min_by_key(|index| bins[*index].0.abs())
                .expect("it is full");
            let (_, count) = bins.remove(smallest);
            let neighbours = [smallest.checked_sub(1), (smallest < bins.len()).then_some(smallest)];
            let heir = neighbours
                .into_iter()
                .flatten()
                .min_by_key(|index| bins[*index].0.abs())
                .expect("many are left");
            bins[heir].1 = bins[heir].1.saturating_add(count);
            *self = Self::new(bins);
        }
    }
}

/// The longest stretch of bins that is dense enough for a run, by index; empty when none has enough bins.
fn longest_crowd(bins: &[(i16, u32)]) -> std::ops::Range<usize> {
    let mut longest = 0..0;
    let mut start = 0;
    for end in 1..=bins.len() {
        // A wide gap ends a crowd, whatever came before it.
        if end < bins.len() && i32::from(bins[end].0) - i32::from(bins[end - 1].0) <= (RUN_SPREAD * 4) as i32 {
            continue;
        }
        let spread = (i32::from(bins[end - 1].0) - i32::from(bins[start].0)) as usize + 1;
        if end - start > longest.len() && end - start >= SPARSE_BINS && spread <= (end - start) * RUN_SPREAD {
            longest = start..end;
        }
        start = end;
    }
    longest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bins_hold_one_percent_around_their_value() {
        for exponent in -90..90 {
            for mantissa in [1.0, 1.5, 2.7, 9.99] {
                let value = mantissa * 10f64.powi(exponent);
                for signed in [value, -value] {
                    let error = (bin_value(bin_key(signed)) - signed).abs() / value;
                    assert!(error <= 0.0100001, "{signed}: {error}");
                }
            }
        }
        assert_eq!(bin_value(bin_key(0.0)), 0.0);
        assert_eq!(bin_key(f64::MAX), KEY_OFFSET + 11_999);
        assert_eq!(bin_key(f64::MIN), -KEY_OFFSET - 11_999);
        assert_eq!(ln_gamma(), libm::log(GAMMA));
    }

    #[test]
    fn keys_rise_with_values() {
        let values = [-1e9, -3.0, -1e-9, 0.0, 1e-9, 2.0, 2.5, 1e9];
        assert!(values.windows(2).all(|pair| bin_key(pair[0]) < bin_key(pair[1])));
    }

    #[test]
    fn a_sketch_is_bounded_and_keeps_the_count() {
        let mut sketch = Sketch::default();
        for key in -1_500..1_500 {
            sketch.add(key);
        }
        assert_eq!(sketch.bins().count(), BINS_MAX);
        assert_eq!(sketch.bins().map(|bin| bin.1).sum::<u32>(), 3_000);
        assert!(sketch.bins().is_sorted());
    }

    proptest! {
        /// A sketch that was saved and restored merges the same bins as one that was not.
        #[test]
        fn a_full_sketch_depends_on_its_values_alone(
            keys in proptest::collection::vec(-1_100..1_100i16, 1..200), restore_at in 0..200usize,
        ) {
            let mut straight = Sketch::default();
            (-1_019..1_020).for_each(|key| straight.add(key));
            let mut restored = straight.clone();
            for (index, key) in keys.into_iter().enumerate() {
                straight.add(key);
                restored.add(key);
                if index == restore_at {
                    restored = Sketch::from_bins(restored.bins().collect());
                }
            }
            prop_assert!(straight.bins().eq(restored.bins()));
        }

        /// Whatever form the sketch takes on the way, and however it was made, it counts.
        #[test]
        fn bins_are_a_plain_count(
            keys in proptest::collection::vec(prop_oneof![4 => 100..400i16, 1 => -300..-280i16, 1 => -12_000..12_000i16], 1..600),
            restore_at in 0..600usize,
        ) {
            let mut expected = std::collections::BTreeMap::new();
            let mut sketch = Sketch::default();
            for (index, key) in keys.into_iter().enumerate() {
                *expected.entry(key).or_insert(0u32) += 1;
                sketch.add(key);
                if index == restore_at {
                    sketch = Sketch::from_bins(sketch.bins().collect());
                }
            }
            prop_assert_eq!(sketch.bins().collect::<Vec<_>>(), expected.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn quantiles_are_within_one_percent(
            mut values in proptest::collection::vec(-1e6f64..1e6, 1..400), q in 0.0f64..=1.0,
        ) {
            let mut sketch = Sketch::default();
            values.iter().for_each(|value| sketch.add(bin_key(*value)));
            values.sort_by(f64::total_cmp);
            let exact = values[(q * (values.len() - 1) as f64).floor() as usize];
            prop_assert!((sketch.quantile(q) - exact).abs() <= exact.abs() * 0.0100001);
        }
    }
}
