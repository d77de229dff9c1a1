//! Chooses the partition of a key as Java clients and librdkafka's `murmur2_random` do, so that a topic written through
//! one implementation may be continued through another. Must never change: order per key depends on it.

use crate::PartitionId;

const SEED: u32 = 0x9747_b28c;
const MULTIPLIER: u32 = 0x5bd1_e995;
const ROTATION: u32 = 24;

/// Partition of a key among `partitions` (at least one).
#[must_use]
pub fn partition_of(key: &[u8], partitions: u16) -> PartitionId {
    debug_assert!(partitions > 0, "a topic has partitions");
    let positive = murmur2(key) & 0x7fff_ffff;
    let partition = positive % u32::from(partitions);
    PartitionId(u16::try_from(partition).expect("less than a u16"))
}

/// MurmurHash2, 32 bits, with the seed of Kafka's Java client.
fn murmur2(data: &[u8]) -> u32 {
    let length = u32::try_from(data.len() & 0xffff_ffff).expect("masked to 32 bits");
    let mut hash = SEED ^ length;
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let mut mixed = u32::from_le_bytes(word.try_into().expect("chunks of four"));
        mixed = mixed.wrapping_mul(MULTIPLIER);
        mixed ^= mixed >> ROTATION;
        mixed = mixed.wrapping_mul(MULTIPLIER);
        hash = hash.wrapping_mul(MULTIPLIER) ^ mixed;
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        for (index, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(MULTIPLIER);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(MULTIPLIER);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of Kafka's own `UtilsTest.testMurmur2`.
    #[test]
    fn hashes_as_the_java_client_does() {
        let cases: [(&[u8], i32); 6] = [
            (b"21", -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            (b"abc", 479_470_107),
        ];
        for (key, expected) in cases {
            assert_eq!(murmur2(key).cast_signed(), expected, "{}", String::from_utf8_lossy(key));
        }
    }

    #[test]
    fn a_key_stays_within_the_partitions() {
        for number in 0..10_000_u32 {
            let partition = partition_of(format!("tenant/device-{number}").as_bytes(), 7);
            assert!(partition.0 < 7, "partition {}", partition.0);
        }
    }
}
