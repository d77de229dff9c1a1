//! Bounds of the Kafka client, with their reasons.

use std::time::Duration;

/// Batches of delivery reports that wait for their reader. Beyond them the poll thread waits, librdkafka keeps the
/// messages, and `send` answers that the queue is full.
pub(super) const DELIVERY_BATCHES_MAX: usize = 64;

/// Pause between two looks at librdkafka while messages are in flight: the delay that a delivery report may get on its
/// way to us, in return for reports in batches.
pub(super) const DELIVERY_POLL: Duration = Duration::from_millis(1);

/// The same while nothing is in flight: errors and statistics can wait.
pub(super) const IDLE_POLL: Duration = Duration::from_millis(100);

/// How long a producer that is dropped without a flush waits for its messages: as long as a leader election takes.
pub(super) const DROP_FLUSH: Duration = Duration::from_secs(10);

/// Batches of records between the poll thread and the reader, each of at most one batch's bytes.
pub(super) const RECORD_BATCHES_MAX: usize = 8;

/// Things other than records between the poll thread and the reader: a few per rebalance.
pub(super) const NOTICES_MAX: usize = 64;

/// Kilobytes that librdkafka reads ahead. Its default of 64 MiB per consumer would dominate our memory.
pub(super) const QUEUED_KBYTES_MAX: u32 = 16 << 10;

/// A broker that has nothing new may think so long about a fetch. Whatever else is asked over the connection waits behind
/// it, such as where a partition begins: once for each partition that is taken over. New records are answered at once.
pub(super) const FETCH_WAIT_MAX: Duration = Duration::from_millis(50);

/// A reader that has been slower than this gets its partitions paused. Less would throw away what was fetched ahead at
/// every hiccup; more would delay a rebalance.
pub(super) const READER_PATIENCE: Duration = Duration::from_millis(500);

/// How long records may wait for company in a batch: the end of what was fetched ends it sooner.
pub(super) const BATCH_DELAY: Duration = Duration::from_millis(5);

/// How long the poll thread waits for a record before it looks at its other duties.
pub(super) const CONSUMER_POLL: Duration = Duration::from_millis(50);

/// One request to the brokers (watermarks, committed offsets, seek).
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// How often what the brokers refused for now is tried again.
pub(super) const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// How long a commit or a start is tried again while a rebalance is on its way.
pub(super) const RETRY_FOR: Duration = Duration::from_secs(20);

/// How long leaving a group may take: librdkafka is known to hang there at times, and offsets are safe.
pub(super) const CLOSE_WAIT: Duration = Duration::from_secs(10);

/// How long topic creation may take, and until the brokers show the topic.
pub(super) const TOPIC_WAIT: Duration = Duration::from_secs(30);
