//! Every bound of this crate, with its reason. What users may set has `_DEFAULT` in its name.

use std::time::Duration;

/// Messages that a broker may send ahead of our acknowledgements. Rate = this / time to confirm: at 5 ms it allows
/// 200,000 messages a second, beyond what one connection can carry; more only means more duplicates after a crash.
pub const RECEIVE_MAXIMUM_DEFAULT: u16 = 1000;

/// Messages of one connection on their way before reading slows down. Above the receive maximum, so that a broker
/// that keeps to it never meets this bound; there for QoS 0, for MQTT 3.1.1, and for brokers that miscount.
pub const WINDOW_MESSAGES_DEFAULT: usize = 4_000;

/// Bytes of one connection on their way before reading slows down: 4,000 messages of 16 KiB, or 256 of the largest.
pub const WINDOW_BYTES_DEFAULT: usize = 64 << 20;

/// Messages that may still trickle in while the window is full and the connection is kept alive. When these are used
/// up as well, the connection is given up until the log has caught up; the broker holds the rest.
pub const OVERFLOW_MESSAGES: usize = 1_000;

/// The same in bytes: a few dozen of the largest messages.
pub const OVERFLOW_BYTES: usize = 16 << 20;

/// Pause between two reads while the window is full: keep-alive still gets its turn many times over, and what
/// trickles in is bounded to some twenty messages a second.
pub const FULL_WINDOW_PAUSE: Duration = Duration::from_millis(50);

/// What a message on its way costs beside its bytes: the entry in the window and the headers of its record.
pub const MESSAGE_OVERHEAD_BYTES: usize = 256;

/// Largest packet that MQTT knows. A smaller value would make an MQTT 5 broker drop messages in silence, and an MQTT
/// 3.1.1 connection fail over and over on the same message, so the place for a smaller bound is the broker's
/// configuration, where it refuses the device. What is over `payload_bytes_max` is cut as soon as it was read.
pub const PACKET_BYTES_MAX: u32 = 268_435_455;

/// Largest value for `ingest.payload_bytes_max`: one message must not hold up its neighbours for seconds.
pub const PAYLOAD_BYTES_MAX: usize = 16 << 20;

/// Bytes kept of a payload that the log could not take whole: what a person needs to recognise it, and as much as
/// any well-formed message may have.
pub const CUT_PAYLOAD_BYTES: usize = 256 << 10;

/// Largest record, unless the topics are configured otherwise.
pub const RECORD_BYTES_MAX_DEFAULT: usize = eventlog::limits::MESSAGE_BYTES_MAX as usize;

/// A dead letter repeats the topic of its message (up to 64 KiB) as key and header only if there is room; below this
/// there would be none for anything else.
pub const RECORD_BYTES_MIN: usize = 64 << 10;

/// Bytes of the MQTT topic kept in a dead letter: our own topics have at most some 400.
pub const DEAD_LETTER_TOPIC_BYTES: usize = 4 << 10;

/// Messages that are read in one go at most; the client library itself reads nine.
pub const READ_BATCH_MESSAGES: usize = 64;

/// Messages that are decoded in one go: the cost of handing a batch over vanishes, and its first message waits for
/// a fraction of a millisecond.
pub const DECODE_BATCH_MESSAGES: usize = 256;

/// Bytes of payload decoded in one go, for the same reason.
pub const DECODE_BATCH_BYTES: usize = 1 << 20;

/// Decoded batches that wait for the forwarder: it never waits itself, so two would do.
pub const DECODED_BATCHES_MAX: usize = 4;

/// Reports of the log that are taken in before acknowledgements go out.
pub const DELIVERY_BATCHES_AT_ONCE: usize = 64;

/// Unacknowledged publishes of our own: we publish nothing, and each slot costs memory in the client.
pub const OUTGOING_INFLIGHT: u16 = 16;

/// Requests to the client beside acknowledgements: subscribe, disconnect.
pub const REQUEST_MARGIN: usize = 64;

/// Default for `keep_alive`: a dead connection is found within a minute, at the price of one small packet.
pub const KEEP_ALIVE_DEFAULT: Duration = Duration::from_secs(30);

/// The client library takes no less, and a shorter one finds nothing that a person could act on.
pub const KEEP_ALIVE_MIN: Duration = Duration::from_secs(5);

/// Largest keep-alive that MQTT can express.
pub const KEEP_ALIVE_MAX: Duration = Duration::from_secs(65_535);

/// Keep-alive periods without any sign of life before a connection is replaced: the client's own check needs one
/// period and its answer, so two are a dead connection.
pub const SILENT_KEEP_ALIVES: u32 = 2;

/// First pause before connecting again.
pub const RECONNECT_PAUSE_MIN: Duration = Duration::from_millis(100);

/// Longest pause before connecting again: a returning broker is found within this time, and a fleet of instances
/// does not crush it.
pub const RECONNECT_PAUSE_MAX: Duration = Duration::from_secs(30);

/// A connection that lived this long was a success: the next pause is short again. Two instances that push each
/// other out by the same client id never reach it, so they slow down.
pub const STABLE_CONNECTION: Duration = Duration::from_secs(5);

/// A wall clock that steps back by less is set by a time server, and the time of receipt waits for it; by more, it was
/// wrong before, and so would be all that is received until the old time has come.
pub const CLOCK_STEP_BACK_MS_MAX: i64 = 10_000;

/// Pause before a record is sent again, and between tries when the queue of the log is full.
pub const RESEND_PAUSE: Duration = Duration::from_millis(20);

/// Pause between tries to hand over acknowledgements when the client's queue is full.
pub const ACK_PAUSE: Duration = Duration::from_millis(2);

/// The log counts as deaf when the oldest message has waited this long for its confirmation.
pub const LOG_DEAF_AFTER: Duration = Duration::from_secs(10);

/// How often the age of the oldest message is looked at, and how often metrics are brought up to date.
pub const REPORT_INTERVAL: Duration = Duration::from_millis(500);

/// One message in this many has its way timed: often enough for percentiles, seldom enough to cost nothing.
pub const LATENCY_SAMPLE: u64 = 32;

/// Default for how long a shutdown waits for what was taken in: twice what a leader election of the log takes.
pub const DRAIN_MAX_DEFAULT: Duration = Duration::from_secs(10);

/// How long a shutdown waits for the last acknowledgements to leave and the connection to close.
pub const DISCONNECT_MAX: Duration = Duration::from_secs(2);

/// Replayed letters without an acknowledgement on one connection: brokers grant more than that by default,
/// and a replay is in no hurry.
pub const REPLAY_INFLIGHT: u16 = 64;

/// A replay gives up when the broker acknowledges nothing for this long.
pub const REPLAY_ACK_MAX: Duration = Duration::from_secs(30);

const _: () = assert!(
    WINDOW_MESSAGES_DEFAULT > RECEIVE_MAXIMUM_DEFAULT as usize,
    "a broker that keeps to the receive maximum must not be slowed down"
);
const _: () = assert!(
    FULL_WINDOW_PAUSE.as_millis() * 10 < KEEP_ALIVE_MIN.as_millis(),
    "keep-alive must get its turn while the window is full"
);
const _: () = assert!(
    CUT_PAYLOAD_BYTES + 3 * DEAD_LETTER_TOPIC_BYTES < RECORD_BYTES_MAX_DEFAULT,
    "a cut payload and its headers must fit into a record"
);
