//! Every bound of this crate, with its reason. No other module may hold a number that bounds something.

use std::time::Duration;

/// Messages under way on one connection by default: the window that common brokers grant.
pub const INFLIGHT_MAX_DEFAULT: u16 = 100;

/// What a broker grants that names no Receive Maximum (MQTT 5, 3.2.2.3.3).
pub const RECEIVE_MAXIMUM_DEFAULT: u16 = u16::MAX;

/// Connections of one publisher: beyond this a load test needs several processes, since ports and descriptors run out.
pub const CONNECTIONS_MAX: usize = 10_000;

/// Messages waiting for a connection's window. Small, so that pacing is not blurred, and large enough to fill a write.
pub const LANE_QUEUE_MESSAGES: usize = 256;

/// Bytes gathered for one write: larger writes save nothing, and acknowledgements are read between writes.
pub const WRITE_BYTES_SOFT_MAX: usize = 64 << 10;

/// Bytes read at once: some thousand acknowledgements.
pub const READ_BUFFER_BYTES: usize = 16 << 10;

/// Largest packet taken from a broker: a publisher only gets acknowledgements, with texts at most.
pub const INCOMING_PACKET_BYTES_MAX: u32 = 64 << 10;

/// Keep-alive told to the broker. Some brokers refuse 0, and a dead one should be noticed within a minute.
pub const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Silence after which a connection is given up and built anew: the broker has missed its pings by then.
pub const STALL_MAX: Duration = Duration::from_secs(30);

/// How often a connection looks at its clocks.
pub const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(1);

/// Time for a TCP connection and the broker's CONNACK.
pub const CONNECT_MAX: Duration = Duration::from_secs(10);

/// Time for the first connection of a run: a broker that is not there by then has the wrong address.
pub const FIRST_CONNECT_MAX: Duration = Duration::from_secs(30);

/// Seconds that a broker keeps our session when the connection is cut: longer than any pause between tries.
pub const SESSION_EXPIRY_SECONDS: u32 = 300;

/// At the end of a run, time without any acknowledgement after which what is open counts as unknown.
pub const ACKNOWLEDGEMENT_WAIT_MAX: Duration = Duration::from_secs(60);

/// Events of one replay: all are held in memory for the oracle, at about 200 bytes each.
pub const REPLAY_EVENTS_MAX: usize = 5_000_000;

/// How far behind its first publication, in messages, a duplicate may come. Devices send again within seconds; the
/// window of remembered identities is bounded too, and larger.
pub const DUPLICATE_DISTANCE_MESSAGES_MAX: u64 = 100;

/// How often the drain looks whether everything has arrived.
pub const DRAIN_POLL_INTERVAL: Duration = Duration::from_millis(500);

/// While draining, time without any change after which the pipeline counts as drained, complete or not. Longer than the
/// pauses between flushes and checkpoints and than a restart of any role.
pub const DRAIN_STALL_MAX: Duration = Duration::from_secs(30);

/// Differences shown in a verdict: enough to see a pattern, few enough to read.
pub const DIFFERENCES_SHOWN_MAX: usize = 20;

/// Relative error of sums: doubles added in another order differ by about 1e-16 for each addend.
pub const SUM_TOLERANCE: f64 = 1e-9;

/// Relative error promised for quantiles.
pub const QUANTILE_TOLERANCE: f64 = 0.01;

/// Up to this number of devices in a cell the distinct count is exact.
pub const DEVICES_EXACT_MAX: u64 = 4095;

/// Relative error of the distinct count beyond: three standard errors of a sketch of 4096 hashes are 4.7 %.
pub const DEVICES_TOLERANCE: f64 = 0.05;

/// A fleet that is further behind the clock than this (a laptop slept) leaves out what lies between.
pub const FLEET_BEHIND_MS_MAX: i64 = 10 * 60 * 1000;

/// The demo fleet shares so many connections, as devices behind gateways do.
pub const FLEET_CONNECTIONS: usize = 4;

/// At shutdown, time for the last acknowledgements of the demo fleet: it has nothing to lose.
pub const FLEET_LAST_ACKNOWLEDGEMENTS_MAX: Duration = Duration::from_secs(2);

/// Readings that a vehicle keeps back in a tunnel before it forgets the oldest: a batch message stays far below the
/// payload limit.
pub const TUNNEL_READINGS_MAX: usize = 200;

const _: () = assert!(
    STALL_MAX.as_secs() >= 2 * KEEP_ALIVE.as_secs(),
    "a broker must have the chance to answer a ping before it counts as dead"
);
const _: () = assert!(
    KEEP_ALIVE.as_secs() > 4 * HOUSEKEEPING_INTERVAL.as_secs(),
    "pings are sent by housekeeping, well before the broker loses patience"
);
