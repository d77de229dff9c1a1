//! Every bound of this crate, with its reason. Never a number for one user's deployment: those are configuration.

use std::time::Duration;

/// Checkpoints of a partition that are kept: the newest, and two to fall back to when it is damaged.
pub const CHECKPOINTS_KEPT: usize = 3;

/// Level 1 is the fastest: states are mostly small integers and shrink to a third, and a worker that compresses does
/// not process.
pub const CHECKPOINT_COMPRESSION_LEVEL: i32 = 1;

/// A checkpoint that claims a larger state is damaged: it must not make us allocate what it claims.
pub const CHECKPOINT_STATE_BYTES_MAX: usize = 4 << 30;

/// Checkpoints read or written at the same time: enough to hide the latency of an object store, few enough for the
/// memory of states that are on their way.
pub const CHECKPOINTS_IN_FLIGHT_MAX: usize = 16;

/// Partitions that are recovered from the tables at the same time. Their questions are many and small where little is
/// stored; where much is, ClickHouse sorts the history of so many partitions at once, for each instance.
pub const RECOVERIES_IN_FLIGHT_MAX: usize = 4;

/// Partitions take turns with their checkpoints in so many groups: at the usual interval of ten seconds, about one group
/// with every flush.
pub const CHECKPOINT_PHASES: u32 = 8;

/// A checkpoint reaches at least so many records beyond its offset. More would delay a new configuration after a crash,
/// which applies where the reach ends; less would make a quiet partition that becomes busy wait for more checkpoints.
pub const REACH_RECORDS_MIN: u64 = 256;

/// A checkpoint reaches as far as the records of so many intervals like the last one: traffic that grows by less never
/// waits for it.
pub const REACH_INTERVALS: u64 = 4;

/// Batches waiting for one worker. A batch is at most 1 MiB, so this is what a worker does in some 50 ms: enough to
/// never run dry while the runner waits for a commit.
pub const WORKER_QUEUE_BATCHES: usize = 8;

/// Workers of one instance: more threads than partitions or cores only take turns.
pub const WORKERS_MAX: usize = 256;

/// Shortest interval of flushes and checkpoints that can be configured: below, the fixed cost of each is all there is.
pub const INTERVAL_MIN: Duration = Duration::from_millis(50);

/// Longest interval of flushes and checkpoints that can be configured: what a crash makes us do again.
pub const INTERVAL_MAX: Duration = Duration::from_secs(600);

/// Measurement rows that make a flush begin early: ClickHouse's best size of an INSERT is 50,000 to 200,000 rows.
pub const FLUSH_ROWS: usize = 100_000;

/// Measurement rows waiting for a flush at which reading stops: what comes in during the four seconds that a slow
/// INSERT takes at 100,000 rows a second; some 80 MB.
pub const PENDING_ROWS_MAX: usize = 400_000;

/// Bytes of records since the last flush that make a flush begin early: dead letters carry their payload into rows, so
/// rows alone do not bound memory.
pub const FLUSH_BYTES: usize = 64 << 20;

/// Bytes of records since the last flush at which reading stops.
pub const PENDING_BYTES_MAX: usize = 256 << 20;

/// Rows in one encoded batch, beyond which the next partition begins another one: an insert holds any number of them,
/// and a column of one batch must stay far below the 2 GiB that its 32 bit ends can tell.
pub const ENCODED_ROWS: usize = 100_000;

/// Offsets that one row of the ledger covers: few enough that a hole is found within them, so many that the ledger stays
/// a thousandth of a thousandth of the tables.
pub const LEDGER_CHUNK_RECORDS: u64 = 65_536;

/// Buckets that differ between rollups and measurements, looked at in one audit, the newest of each level and partition: a
/// level that was added later lacks all older ones.
pub const AUDIT_BUCKETS_MAX: usize = 1_000;

/// Holes that an audit names of one kind, and cells that a recount names of one level: the rest is only counted.
pub const AUDIT_SHOWN_MAX: usize = 20;

/// Rows that expire while the audit counts are no hole: what is this close to its age is not judged.
pub const AUDIT_EXPIRY_MARGIN_SECONDS: u64 = 600;

/// Snapshots that a rebuild inserts at once: a part of a good size, and little memory.
pub const REBUILD_ROWS: usize = 20_000;

/// Buckets whose snapshots are made again by one query: their list is part of it, three times, and queries are at most
/// 256 KiB long.
pub const MEND_BUCKETS: usize = 1_000;

/// Rounds of taking back what lost state has written. The second finds something only if its owner writes meanwhile,
/// which it cannot go on with: its next checkpoint is refused.
pub const MEND_ROUNDS_MAX: usize = 10;

/// Accumulators are looked for that are idle every ten seconds of the log clock: until then they stay, twice to be sure.
pub const SWEEP_MARGIN_MS: i64 = 20_000;

/// After this long without a new record everything is flushed, so that whoever looks at a quiet pipeline sees all of
/// it.
pub const IDLE_AFTER: Duration = Duration::from_millis(200);

/// Flushes begin at least this far apart unless rows press, since a trickle must not become a part per event in
/// ClickHouse.
pub const FLUSH_GAP_MIN: Duration = Duration::from_millis(500);

/// A quiet partition is checkpointed when the last one is this old: soon, and yet not at every pause between messages.
pub const IDLE_CHECKPOINT_AGE: Duration = Duration::from_secs(2);

/// Flushing, checkpointing and committing what is being revoked may take this long; the rest of the group's wait is
/// for the news to travel. What is not done in time is done again by the next owner.
pub const REVOCATION_DRAIN_MAX: Duration = Duration::from_secs(8);

/// Reading a log of our own to its end at shutdown may take this long: some million events.
pub const READ_TO_END_MAX: Duration = Duration::from_secs(20);

/// How long ClickHouse may take to read the books, which are small, before it is asked again: a network that swallows the
/// answer would else hold up a takeover for ever.
pub const BOOKS_ANSWER_MAX: Duration = Duration::from_secs(10);

/// The same for a step of a recovery, which reads and sorts the history of a partition: a billion events, at the rate that
/// was measured.
pub const RECOVERY_STEP_MAX: Duration = Duration::from_secs(45 * 60);

/// A question to the tables that is under way at shutdown may take so much longer: a hundred times what one takes that
/// asks where a partition begins.
pub const ANSWER_AT_SHUTDOWN_MAX: Duration = Duration::from_secs(5);

/// What the instance is in the middle of when shutdown is requested (a takeover, a commit) may take so much longer. Then
/// it is left undone, as a crash leaves it: a log that does not answer must not hold up a stop.
pub const STEP_AT_SHUTDOWN_MAX: Duration = Duration::from_secs(7);

/// Draining at shutdown may take this long: a flush in flight, a last one, checkpoints and the commit.
pub const SHUTDOWN_DRAIN_MAX: Duration = Duration::from_secs(12);

/// Leaving the group may take this long; the group notices by itself afterwards.
pub const CLOSE_MAX: Duration = Duration::from_secs(8);

/// Pause before the log is asked again. It waits out short outages by itself, so this one is longer.
pub const LOG_RETRY_PAUSE: Duration = Duration::from_secs(2);

/// A flush that is not through after this long makes the role degraded: an INSERT takes a tenth of it.
pub const FLUSH_SLOW_AFTER: Duration = Duration::from_secs(5);

/// A flush that is not through after this long makes the role unready: ClickHouse or the checkpoint store is deaf.
pub const FLUSH_DEAF_AFTER: Duration = Duration::from_secs(30);

/// How often the runner looks whether a flush is due, while there is something to flush. A fraction of every interval
/// above, and nothing next to the work of a flush.
pub const SCHEDULE_TICK: Duration = Duration::from_millis(50);

const _: () = assert!(
    ANSWER_AT_SHUTDOWN_MAX.as_secs() < STEP_AT_SHUTDOWN_MAX.as_secs(),
    "a question under way is given up before the takeover that asks it"
);
const _: () = assert!(
    STEP_AT_SHUTDOWN_MAX.as_secs() + SHUTDOWN_DRAIN_MAX.as_secs() + CLOSE_MAX.as_secs() < 30,
    "supervisors kill what has not stopped after half a minute"
);
const _: () = assert!(
    REVOCATION_DRAIN_MAX.as_millis() < eventlog::limits::REVOCATION_WAIT.as_millis(),
    "the group must still be waiting when we have drained"
);
const _: () = assert!(
    FLUSH_ROWS < PENDING_ROWS_MAX && FLUSH_BYTES < PENDING_BYTES_MAX,
    "a flush begins before reading has to stop"
);
const _: () = assert!(
    PENDING_BYTES_MAX + ENCODED_ROWS * 4096 < i32::MAX as usize,
    "the ends of a column of one batch fit into 32 bits"
);
const _: () = assert!(
    crate::rollup::level::LEVELS_MAX <= 32,
    "a level has its bit in the mask"
);
const _: () = assert!(
    FLUSH_SLOW_AFTER.as_millis() < FLUSH_DEAF_AFTER.as_millis(),
    "slow comes before deaf"
);
const _: () = assert!(CHECKPOINTS_KEPT >= 2, "a damaged checkpoint needs one to fall back to");

/// Places in memory read ahead of their change: about as many as a core can wait for side by side. Without that it
/// waits for one after the other.
pub(crate) const FETCHED_TOGETHER: usize = 16;

/// A claimed time this long before receipt counts as far in the past: longer than a device is usually out of reach.
/// No setting, since it shapes state.
pub(crate) const CLOCK_FAR_PAST_MS: i64 = 86_400_000;

/// Replayed events of a partition that are remembered, however old: only further replays push them out, so a replay
/// that is done again months later is still recognised. At most 5 MB.
pub(crate) const REPLAYS_KEPT: usize = 262_144;

/// Tenants with a label of their own in metrics: a scraper keeps a series for each.
pub(crate) const TENANT_LABELS_MAX: usize = 100;

/// Tenants of one partition told by name at one flush; the others are told together.
pub(crate) const TENANTS_PER_FLUSH_MAX: usize = 1_000;

/// How often the age of watermarks is brought up to date: scrapers come every few seconds.
pub(crate) const FRESHNESS_INTERVAL: Duration = Duration::from_secs(1);

/// Messages received between a delivery and its repetition: more than ingest's window, for what was on its way, also
/// when several processes in a row receive it; and less than half of the 65,535 packet identifiers, so that one used again
/// is told apart.
pub(crate) const DELIVERIES_IN_FLIGHT_MAX: u64 = 30_000;

/// Runs of ingest whose last messages are remembered: those of all connections, and some of before their restarts.
pub(crate) const RECEIVING_RUNS_MAX: usize = 256;
