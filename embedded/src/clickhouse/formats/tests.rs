//! Blocks joined into one document.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use super::{Joiner, Joining};

fn check(joining: Joining, blocks: &[&[u8]], expected: &[u8]) {
    let mut joiner = Joiner::new(joining);
    let mut document: Vec<u8> = blocks.iter().flat_map(|block| joiner.part(block).to_vec()).collect();
    document.extend_from_slice(joiner.tail());
    assert_eq!(document, expected, "{joining:?}");
}

#[test]
fn heads_are_kept_of_the_first_block_only() {
    check(Joining::Plain, &[b"1\n", b"2\n"], b"1\n2\n");
    check(
        Joining::Lines(1),
        &[b"\"a\nb\"\n1\n", b"\"a\nb\"\n2\n"],
        b"\"a\nb\"\n1\n2\n",
    );
    check(
        Joining::Lines(2),
        &[b"a\nInt8\n1\n", b"a\nInt8\n2\n"],
        b"a\nInt8\n1\n2\n",
    );
    check(
        Joining::Binary { types: true },
        &[b"\x01\x01a\x04Int8\x05", b"\x01\x01a\x04Int8\x06"],
        b"\x01\x01a\x04Int8\x05\x06",
    );
    check(
        Joining::Binary { types: false },
        &[b"\x01\x01a\x05", b"\x01\x01a\x06"],
        b"\x01\x01a\x05\x06",
    );
}

#[test]
fn an_arrow_stream_has_one_schema_and_one_end() {
    let schema = b"\xff\xff\xff\xff\x02\0\0\0SC";
    let end = b"\xff\xff\xff\xff\0\0\0\0";
    let block = |batch: &[u8]| [schema, batch, end].concat();
    let (first, second) = (block(b"batch-1"), block(b"batch-2"));
    check(
        Joining::Arrow,
        &[&first, &second],
        &[schema, b"batch-1".as_slice(), b"batch-2", end].concat(),
    );
    check(Joining::Arrow, &[], b"");
}

#[test]
fn a_block_that_is_only_a_head_adds_nothing() {
    check(Joining::Lines(1), &[b"a\n1\n", b"a\n"], b"a\n1\n");
    check(
        Joining::Binary { types: true },
        &[b"\x01\x01a\x04Int8\x05", b"\x01\x01a\x04Int8"],
        b"\x01\x01a\x04Int8\x05",
    );
}
