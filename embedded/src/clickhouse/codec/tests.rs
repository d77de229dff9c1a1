//! What goes in comes out; what is damaged is refused.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::io::{Cursor, Read};

use super::{CODINGS, Coding, Compress, Encoder, NativeBlocks};

fn sample() -> Vec<u8> {
    (0..3_000_000_u32)
        .flat_map(|number| (number / 7).to_le_bytes())
        .take(5_000_000)
        .collect()
}

fn encode(compress: Compress, data: &[u8]) -> Vec<u8> {
    let mut encoder = Encoder::new(compress).unwrap();
    let mut output = Vec::new();
    for piece in data.chunks(300_000) {
        encoder.write(piece).unwrap();
        output.append(&mut encoder.take());
    }
    output.append(&mut encoder.finish().unwrap());
    output
}

#[test]
fn every_coding_gives_back_what_it_took() {
    for (coding, name) in CODINGS {
        let encoded = encode(Compress::Http(coding), &sample());
        assert!(encoded.len() < sample().len(), "{name} compresses");
        let mut decoded = Vec::new();
        coding
            .decode(Box::new(Cursor::new(encoded)))
            .unwrap()
            .read_to_end(&mut decoded)
            .unwrap();
        assert!(decoded == sample(), "{name}");
    }
}

#[test]
fn frames_one_after_another_are_one_body() {
    for coding in [Coding::Lz4, Coding::Zstd, Coding::Gzip] {
        let encoded = [
            encode(Compress::Http(coding), b"one,"),
            encode(Compress::Http(coding), b"two"),
        ]
        .concat();
        let mut decoded = Vec::new();
        coding
            .decode(Box::new(Cursor::new(encoded)))
            .unwrap()
            .read_to_end(&mut decoded)
            .unwrap();
        assert_eq!(decoded, b"one,two", "{}", coding.name());
    }
}

#[test]
fn native_blocks_give_back_what_they_took() {
    let encoded = encode(Compress::NativeBlocks, &sample());
    let mut decoded = Vec::new();
    NativeBlocks::new(Cursor::new(encoded))
        .read_to_end(&mut decoded)
        .unwrap();
    assert!(decoded == sample());
}

#[test]
fn a_damaged_or_cut_native_block_is_an_error() {
    let encoded = encode(Compress::NativeBlocks, b"some rows of some table");
    for index in 0..encoded.len() {
        let mut damaged = encoded.clone();
        damaged[index] ^= 1;
        assert!(
            NativeBlocks::new(Cursor::new(damaged))
                .read_to_end(&mut Vec::new())
                .is_err(),
            "byte {index}"
        );
    }
    for length in 1..encoded.len() {
        let cut = encoded[..length].to_vec();
        assert!(
            NativeBlocks::new(Cursor::new(cut))
                .read_to_end(&mut Vec::new())
                .is_err(),
            "{length} bytes"
        );
    }
}

#[test]
fn the_cheapest_accepted_coding_is_chosen() {
    assert_eq!(Coding::accepted("gzip, deflate, lz4"), Some(Coding::Lz4));
    assert_eq!(Coding::accepted("gzip;q=0.5, br, zstd;q=0"), Some(Coding::Gzip));
    assert_eq!(Coding::accepted("br, identity"), None);
    assert_eq!(Coding::named("identity"), Ok(None));
    assert!(Coding::named("br").is_err());
}
