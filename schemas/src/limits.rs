//! Bounds on what one message may hold, with the reason for each.

/// Longest tenant or device identifier, in bytes: promised to users, and keeps keys small.
pub const IDENTIFIER_BYTES_MAX: usize = 128;

/// Longest metric name, in bytes: promised to users.
pub const METRIC_NAME_BYTES_MAX: usize = 128;

/// Metrics in one event: each becomes a row, so this bounds what one event may cost.
pub const METRICS_PER_EVENT_MAX: usize = 256;

/// Events in one batch message: each becomes a record before the message is acknowledged.
pub const EVENTS_PER_BATCH_MAX: usize = 10_000;

/// Containers inside one another within one event, the event itself included.
pub const NESTING_MAX: usize = 8;

/// Default for the largest payload, in bytes. A device that needs more should send several messages.
pub const PAYLOAD_BYTES_MAX_DEFAULT: usize = 256 * 1024;

/// Attributes (top-level texts) kept of one event; further ones are left out, since they are not measurements.
pub const ATTRIBUTES_PER_EVENT_MAX: usize = 32;

/// Bytes kept of one attribute value, cut at a character boundary.
pub const ATTRIBUTE_BYTES_MAX: usize = 1024;

/// How far ahead of receipt a device's clock may be before it is not believed, in milliseconds.
pub const FUTURE_SKEW_MS_MAX_DEFAULT: i64 = 60_000;

/// Latest event time that a rollup bucket (`DateTime`, 32 bit) can hold: 2106-02-07T06:28:15Z, in milliseconds.
pub const TIMESTAMP_MS_MAX: i64 = u32::MAX as i64 * 1000;

/// Characters of a rejection's detail: it names the fault, it does not repeat the payload.
pub const DETAIL_CHARS_MAX: usize = 200;

/// Longest id of a dead letter that a replay may name: our own have some 60 bytes.
pub const LETTER_ID_BYTES_MAX: usize = 256;

const _: () = assert!(
    EVENTS_PER_BATCH_MAX < PAYLOAD_BYTES_MAX_DEFAULT,
    "an event takes more than one byte"
);
const _: () = assert!(
    NESTING_MAX < 128,
    "below the JSON parser's own recursion limit, so ours is the one that speaks"
);
