//! A set of counts that mostly follow one another: exact for a whole history without gaps, and for the newest
//! `BITS_MAX` counts of one with gaps.

use serde::{Deserialize, Serialize};

/// Ranges kept. A device that counts without gaps needs one; this is for losses and disorder.
const RANGES_MAX: usize = 128;
/// Counts behind the highest one that are told apart one by one where gaps are many: 8 KiB of bits.
const BITS_MAX: u64 = 65_536;
const WORD_BITS: u64 = 64;

/// Counts seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CountSet {
    /// Inclusive, disjoint, not touching, rising; never empty.
    Ranges(Vec<(u64, u64)>),
    /// Where ranges would be too many: a bit for each count from `base` on. Everything below is taken as seen: it is
    /// either a repetition, or later than anybody waits for.
    Bits {
        /// A multiple of 64.
        base: u64,
        /// The highest count is in the last one.
        words: Vec<u64>,
    },
}

impl CountSet {
    /// The set of one count.
    #[must_use]
    pub fn of(count: u64) -> Self {
        Self::Ranges(vec![(count, count)])
    }

    /// The highest count.
    #[must_use]
    pub fn highest(&self) -> u64 {
        match self {
            Self::Ranges(ranges) => ranges.last().map_or(0, |range| range.1),
            Self::Bits { base, words } => {
                let last = words
                    .last()
                    .map_or(0, |word| WORD_BITS - 1 - u64::from(word.leading_zeros()));
                base + (words.len() as u64 - 1) * WORD_BITS + last
            }
        }
    }

    /// Is the count in the set?
    #[must_use]
    pub fn contains(&self, count: u64) -> bool {
        match self {
            Self::Ranges(ranges) => ranges.get(search(ranges, count)).is_some_and(|range| range.0 <= count),
            Self::Bits { base, words } => {
                let Some(place) = count.checked_sub(*base) else {
                    return true;
                };
                let word = usize::try_from(place / WORD_BITS)
                    .ok()
                    .and_then(|index| words.get(index));
                word.is_some_and(|word| word & (1 << (place % WORD_BITS)) != 0)
            }
        }
    }

    /// Adds a count that is not in the set.
    pub fn insert(&mut self, count: u64) {
        match self {
            Self::Ranges(ranges) => {
                insert_into_ranges(ranges, count);
                if ranges.len() > RANGES_MAX {
                    *self = bits_of(ranges);
                }
            }
            Self::Bits { base, words } => insert_into_bits(base, words, count),
        }
    }
}

/// Index of the first range that ends at or after `count`.
fn search(ranges: &[(u64, u64)], count: u64) -> usize {
    // Nearly all counts extend the last range.
    match ranges.last() {
        Some(last) if count > last.1 => ranges.len(),
        Some(last) if count >= last.0 => ranges.len() - 1,
        _ => ranges.partition_point(|range| range.1 < count),
    }
}

fn insert_into_ranges(ranges: &mut Vec<(u64, u64)>, count: u64) {
    let index = search(ranges, count);
    let joins_before = index > 0 && ranges[index - 1].1.checked_add(1) == Some(count);
    let joins_after = ranges
        .get(index)
        .is_some_and(|range| count.checked_add(1) == Some(range.0));
    match (joins_before, joins_after) {
        (true, true) => {
            ranges[index - 1].1 = ranges[index].1;
            ranges.remove(index);
        }
        (true, false) => ranges[index - 1].1 = count,
        (false, true) => ranges[index].0 = count,
        (false, false) => ranges.insert(index, (count, count)),
    }
}

fn bits_of(ranges: &[(u64, u64)]) -> CountSet {
    let highest = ranges.last().map_or(0, |range| range.1);
    let (mut base, mut words) = (highest.saturating_sub(BITS_MAX - 1) / WORD_BITS * WORD_BITS, Vec::new());
    for (first, last) in ranges {
        for count in (*first).max(base)..=*last {
            insert_into_bits(&mut base, &mut words, count);
        }
    }
    CountSet::Bits { base, words }
}

fn insert_into_bits(base: &mut u64, words: &mut Vec<u64>, count: u64) {
    let Some(place) = count.checked_sub(*base) else {
        return;
    };
    if place >= BITS_MAX {
        let new_base = (count - (BITS_MAX - 1)).div_ceil(WORD_BITS) * WORD_BITS;
        let gone = usize::try_from((new_base - *base) / WORD_BITS).map_or(words.len(), |gone| gone.min(words.len()));
        words.drain(..gone);
        *base = new_base;
        return insert_into_bits(base, words, count);
    }
    let index = usize::try_from(place / WORD_BITS).expect("below BITS_MAX");
    if index >= words.len() {
        words.resize(index + 1, 0);
    }
    words[index] |= 1 << (place % WORD_BITS);
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_history_without_gaps_is_one_range() {
        let mut set = CountSet::of(0);
        (1..100_000).for_each(|count| set.insert(count));
        assert_eq!(set, CountSet::Ranges(vec![(0, 99_999)]));
    }

    #[test]
    fn gaps_are_told_apart_however_many() {
        let mut set = CountSet::of(0);
        for count in (2..40_000).step_by(2) {
            assert!(!set.contains(count));
            set.insert(count);
        }
        for count in 0..40_000 {
            assert_eq!(set.contains(count), count % 2 == 0, "{count}");
        }
        assert_eq!(set.highest(), 39_998);
    }

    #[test]
    fn what_is_too_far_behind_is_taken_as_seen_and_memory_is_bounded() {
        let mut set = CountSet::of(0);
        (2..1_000).step_by(2).for_each(|count| set.insert(count));
        set.insert(u64::MAX - 1);
        assert!(set.contains(1) && set.contains(u64::MAX - 1) && !set.contains(u64::MAX - 3));
        assert_eq!(set.highest(), u64::MAX - 1);
        set.insert(u64::MAX);
        assert!(matches!(&set, CountSet::Bits { words, .. } if words.len() as u64 <= BITS_MAX / WORD_BITS));
    }

    proptest! {
        #[test]
        fn it_is_a_set(counts in proptest::collection::vec(0u64..4_000, 1..3_000)) {
            let mut set = CountSet::of(counts[0]);
            let mut expected = HashSet::from([counts[0]]);
            for count in counts {
                prop_assert_eq!(set.contains(count), expected.contains(&count));
                if expected.insert(count) {
                    set.insert(count);
                }
                prop_assert_eq!(Some(set.highest()), expected.iter().copied().max());
            }
        }
    }
}
