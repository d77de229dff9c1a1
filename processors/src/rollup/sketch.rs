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

/// Counts by bin, keys rising. Grows by few entries at a time: most cells see few distinct values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sketch {
    bins: Vec<(i16, u32)>,
}

impl Sketch {
    /// Counts one value by its bin.
    pub fn add(&mut self, key: i16) {
        match self.bins.binary_search_by_key(&key, |bin| bin.0) {
            Ok(index) => self.bins[index].1 = self.bins[index].1.saturating_add(1),
            Err(index) => {
                if self.bins.len() == self.bins.capacity() {
                    self.bins.reserve_exact(growth(self.bins.len()));
                }
                self.bins.insert(index, (key, 1));
                if self.bins.len() > BINS_MAX {
                    self.merge_smallest();
                }
            }
        }
    }

    /// The bins, keys rising.
    #[must_use]
    pub fn bins(&self) -> &[(i16, u32)] {
        &self.bins
    }

    /// From bins with rising keys.
    #[must_use]
    pub fn from_bins(bins: Vec<(i16, u32)>) -> Self {
        Self { bins }
    }

    /// The quantile `q` in 0..=1 of the values counted; NaN when there are none. SQL does the same over merged bins.
    #[must_use]
    pub fn quantile(&self, q: f64) -> f64 {
        let count: u64 = self.bins.iter().map(|bin| u64::from(bin.1)).sum();
        let rank = q * count.saturating_sub(1) as f64;
        let mut seen = 0u64;
        let bin = self.bins.iter().find(|bin| {
            seen += u64::from(bin.1);
            seen as f64 > rank
        });
        bin.map_or(f64::NAN, |bin| bin_value(bin.0))
    }

    fn merge_smallest(&mut self) {
        let smallest = (0..self.bins.len())
            .min_by_key(|index| self.bins[*index].0.abs())
            .expect("it is full");
        let (_, count) = self.bins.remove(smallest);
        let neighbours = [
            smallest.checked_sub(1),
            (smallest < self.bins.len()).then_some(smallest),
        ];
        let heir = neighbours
            .into_iter()
            .flatten()
            .min_by_key(|index| self.bins[*index].0.abs())
            .expect("many are left");
        self.bins[heir].1 = self.bins[heir].1.saturating_add(count);
    }
}

/// Entries to add to a full list: an eighth, at least two.
fn growth(length: usize) -> usize {
    (length / 8).max(2)
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
        for key in -6_000..6_000 {
            sketch.add(key);
        }
        assert_eq!(sketch.bins().len(), BINS_MAX);
        assert_eq!(sketch.bins().iter().map(|bin| bin.1).sum::<u32>(), 12_000);
        assert!(sketch.bins().is_sorted());
    }

    proptest! {
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
