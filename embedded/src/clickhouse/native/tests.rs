//! Blocks get the bytes of their version, and types are understood.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use super::{BLOCK_INFORMATION, Type, with_version};

#[test]
fn information_and_serialization_marks_are_put_in() {
    let block = b"\x02\x02\x01a\x05UInt8\x07\x08\x01s\x06String\x01x\x02yz";
    let information = BLOCK_INFORMATION.as_slice();
    assert_eq!(with_version(block, 54405).unwrap(), [information, block].concat());
    let marked = b"\x02\x02\x01a\x05UInt8\0\x07\x08\x01s\x06String\0\x01x\x02yz";
    assert_eq!(with_version(block, 54460).unwrap(), [information, marked].concat());
    let two = [block.as_slice(), block].concat();
    let both = [information, marked, information, marked].concat();
    assert_eq!(with_version(&two, 54460).unwrap(), both);
    assert_eq!(with_version(b"", 54460).unwrap(), b"");
}

#[test]
fn a_cut_block_or_an_unknown_type_is_an_error() {
    let block = b"\x01\x02\x01s\x06String\x01x\x02yz";
    for length in 1..block.len() {
        assert!(with_version(&block[..length], 54460).is_err(), "{length} bytes");
    }
    let error = with_version(b"\x01\x01\x01j\x04JSON\x00", 54460).unwrap_err();
    assert!(error.contains("`JSON`"), "{error}");
}

#[test]
fn types_are_read_with_their_arguments() {
    let fixed = |bytes| Type::Fixed(bytes);
    let check = |name: &str, expected: Type| assert_eq!(Type::parse(name).unwrap(), expected, "{name}");
    check("DateTime64(3, 'UTC')", fixed(8));
    check("Decimal(20, 4)", fixed(16));
    check("Enum8('a,b)' = 1, 'c\\'' = 2)", fixed(1));
    check(
        "Array(Nullable(FixedString(5)))",
        Type::Array(Box::new(Type::Nullable(Box::new(fixed(5))))),
    );
    check(
        "Tuple(a UInt8, `b c` Array(String))",
        Type::Tuple(vec![fixed(1), Type::Array(Box::new(Type::String))]),
    );
    check(
        "Tuple(Enum8('a b' = 1), DateTime('UTC'))",
        Type::Tuple(vec![fixed(1), fixed(4)]),
    );
    check("SimpleAggregateFunction(sum, Float64)", fixed(8));
    check(
        "Map(String, UInt16)",
        Type::Array(Box::new(Type::Tuple(vec![Type::String, fixed(2)]))),
    );
}
