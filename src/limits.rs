//! Every bound of the binary itself, with its reason.

use std::{ops::RangeInclusive, time::Duration};

/// How long a start waits for backing services that are not there yet. Services that are started together come up
/// within this time; one that does not has another problem, and who started us wants to know.
pub(crate) const STARTUP_WAIT: Duration = Duration::from_secs(60);

/// How often a start that still waits says for what.
pub(crate) const READY_REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// How often readiness is looked at while starting.
pub(crate) const READY_POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Room that a deadline of ours leaves beyond the deadline that a role keeps itself, so that the role's own report
/// comes first.
pub(crate) const DRAIN_MARGIN: Duration = Duration::from_secs(2);

/// How long servers of pages and metrics get for open requests.
pub(crate) const SERVER_DRAIN_MAX: Duration = Duration::from_secs(3);

/// How long the simulated fleet gets for its last acknowledgements.
pub(crate) const FLEET_DRAIN_MAX: Duration = Duration::from_secs(10);

/// How long the MQTT broker gets to close its connections.
pub(crate) const BROKER_DRAIN_MAX: Duration = Duration::from_secs(5);

/// How long the ClickHouse engine gets for statements that run: the last inserts are through by then, so these are
/// queries of people.
pub(crate) const ENGINE_DRAIN_MAX: Duration = Duration::from_secs(10);

/// How long the last writes of the embedded log may take.
pub(crate) const LOG_CLOSE_MAX: Duration = Duration::from_secs(10);

/// How long one backing service may take to answer a probe of `validate --connect`.
pub(crate) const PROBE_MAX: Duration = Duration::from_secs(10);

/// How often the counts of a running process are asked for when they do not add up: each answer is put together within
/// a millisecond while messages pass, so that several in a row are torn hardly ever.
pub(crate) const AUDIT_ATTEMPTS_MAX: u32 = 6;

/// Shortest pause of `audit --watch`: each round reads all measurements.
pub(crate) const WATCH_MIN: Duration = Duration::from_secs(1);

/// Pause between them: the counts are shown twice a second.
pub(crate) const AUDIT_PAUSE: Duration = Duration::from_millis(600);

/// Changes of a rebuild that are named: more than anybody reads, and all are counted.
pub(crate) const CHANGES_SHOWN_MAX: u64 = 50;

/// How long a stop waits until a broker of our own has handed over what it acknowledged. A backlog of millions takes
/// longer; the rest of it stays in the store.
pub(crate) const HAND_OVER_MAX: Duration = Duration::from_secs(20);

/// Our own broker takes packets of this many times `ingest.payload_bytes_max`, and 8 MiB at least: whatever a device
/// sends by mistake should reach ingest and become a dead letter.
pub(crate) const PACKETS_PER_PAYLOAD: usize = 4;
const _: () = assert!(
    PACKETS_PER_PAYLOAD * ingest::limits::PAYLOAD_BYTES_MAX <= embedded::limits::MQTT_PACKET_BYTES_MAX,
    "the broker takes what this asks for"
);

/// Letters that one `dlq replay` looks at: their ids are held in memory.
pub(crate) const REPLAY_LETTERS_MAX: u64 = 1_000_000;

/// Letters published over one connection, between two writes to the table of replays: enough to hide the latency of
/// both, and a quarter of a GiB if every one of them is as large as a record can be.
pub(crate) const REPLAY_PAGE_LETTERS: usize = 256;

/// Different reasons of failure that a replay tells.
pub(crate) const REPLAY_FAULTS_TOLD: usize = 3;

/// Rollup cells that `trace` asks for in one statement: some 100 KB of text, below the server's bound on a query.
pub(crate) const TRACE_CELLS_AT_ONCE: usize = 1_000;

/// How long a key may live, where it is said: from what tests need to what nobody outlives.
pub(crate) const KEY_LIFETIME: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(100 * 366 * 86_400);

/// Bytes of the name of a key: a line.
pub(crate) const KEY_NAME_BYTES_MAX: usize = 256;

/// How long a start waits for the table of keys: without it the door is closed, and everything else goes on.
pub(crate) const KEYS_WAIT: Duration = Duration::from_secs(5);
