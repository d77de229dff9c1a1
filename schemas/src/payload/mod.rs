//! Decoding what devices publish: bytes in, readings or one rejection out. Never panics, never allocates more than a
//! small multiple of the payload.

mod json;
mod metrics;
mod value;

#[cfg(test)]
mod tests;

pub use json::decode as decode_json;
