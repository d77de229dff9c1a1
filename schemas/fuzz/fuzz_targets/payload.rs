//! Bytes that a device may publish. What must hold is said in `checks.rs`, which the ordinary tests run too.

#![no_main]

#[path = "../checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::payload(bytes));
