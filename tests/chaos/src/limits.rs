//! Every bound of the suite, with its reason. No other module may hold a number that decides about clean or not.

use std::time::Duration;

/// After the last fault has healed and the last message is acknowledged, everything must be in `measurements` within
/// this time: a restart, the session timeout of a dead consumer, and what waited meanwhile.
pub const STORED_MAX: Duration = Duration::from_secs(30);

/// And in every level of the rollups: the coarsest levels are written every 10 s.
pub const ROLLED_UP_MAX: Duration = Duration::from_secs(30);

/// And the processors must have committed it: they make a checkpoint every 10 s, and commit behind it.
pub const COMMITTED_MAX: Duration = Duration::from_secs(30);

/// Without any change for so long after that, what is missing counts as lost and the verdict is made.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Nothing may change for so long before rows are compared: events without an acknowledgement may still be on their way.
pub const QUIET: Duration = Duration::from_secs(2);

/// How often the checker looks while it waits.
pub const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// How often memory is measured and dead processes are looked for.
pub const WATCH_INTERVAL: Duration = Duration::from_millis(250);

/// A consumer that was silent for so long counts as dead. Shorter than the product's default of 15 s, so that zombies
/// take less of the run.
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(6);

/// Mosquitto saves its queues each second here. What it acknowledged in the moments before it is killed may be lost at
/// the broker (see `docker/mosquitto/mosquitto.conf`): such events may be counted once or not at all.
pub const BROKER_SAVE_INTERVAL: Duration = Duration::from_secs(1);

/// So many moments: the interval, and as much again and a little for a machine that is busy.
pub const BROKER_LOSS_MAX: Duration = Duration::from_secs(3);

/// At the end of a round, the publisher waits so long for acknowledgements: a connection over which nothing comes is
/// given up after 30 s and built anew.
pub const LAST_ACKNOWLEDGEMENTS_MAX: Duration = Duration::from_secs(60);

/// How long a process may take until it is ready at the start of the suite, on a machine that does other things too.
pub const READY_MAX: Duration = Duration::from_secs(90);

/// How long the log of the engine's kills waits for an INSERT that it can hit.
pub const INSERT_WAIT_MAX: Duration = Duration::from_secs(20);

/// A clock jumps by less than so many seconds: half of those of ingest are further ahead than the hour that Kafka bears.
pub const CLOCK_JUMP_SECONDS_MAX: i32 = 7_200;

/// Records of each partition that retention leaves, of those that are committed: what devices send again was just sent. A
/// copy that comes later than that could not be told from a new event by a processor that has lost its checkpoints.
pub const RECORDS_KEPT: u64 = 200;

/// How often a process looks how much its clock is off.
pub const CLOCK_LOOK_SECONDS: u32 = 1;

/// Room of the small disk with the checkpoints, which are some 100 KiB for each partition.
pub const CHECKPOINT_DISK_BYTES: u64 = 64 << 20;

/// Room of the disk under ClickHouse: the engine wants some hundred MiB for its own logs and merges.
pub const ENGINE_DISK_BYTES: u64 = 2 << 30;

/// A disk that is being filled has this left for a while: less than what our engine keeps free, so that it stops before it
/// writes parts into no room at all, which it would take for whole.
pub const LAST_ROOM_BYTES: u64 = 64 << 20;

/// For this long.
pub const LAST_ROOM_LASTS: Duration = Duration::from_secs(2);

/// Memory that `ingest` may hold: its window of 64 MiB, the producer's queue of 64 MiB, and as much again for what is
/// being decoded.
pub const INGEST_RSS_MAX: u64 = 384 << 20;

/// Memory that a `process` may hold: consumer queues, batches, rows and state of all partitions.
pub const PROCESS_RSS_MAX: u64 = 768 << 20;

/// Mosquitto: what devices publish while nobody reads, some times over.
pub const MOSQUITTO_RSS_MAX: u64 = 256 << 20;

/// Kafka: its heap of 512 MiB, and what Java needs beside it.
pub const KAFKA_RSS_MAX: u64 = 1_200 << 20;

/// The engine alone is about 600 MiB of code and caches; inserts and the checker's queries come on top.
pub const ENGINE_RSS_MAX: u64 = 3 << 30;

const _: () = assert!(
    BROKER_LOSS_MAX.as_millis() > 2 * BROKER_SAVE_INTERVAL.as_millis(),
    "a save may begin just before the kill and not be finished"
);
