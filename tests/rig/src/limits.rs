//! Every bound of the rig, with its reason. Nothing here changes what a test asserts, only how long it waits before it
//! gives up.

use std::time::Duration;

/// How long a daemon may take until it answers. Kafka needs 1 to 3 s on idle cores; a loaded machine with two cores was
/// seen to need ten times that.
pub const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a daemon may take to stop after a polite signal before the test fails.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// Pause between two looks at a file, a port or a process: short against every start-up time, long against a look.
pub const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// One protocol exchange with a daemon that is expected to be up.
pub const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(5);

/// Lines of a daemon's output shown when a test fails: enough for a stack trace and what led to it.
pub const LOG_TAIL_LINES: usize = 60;

/// Ports are taken from here: above the well-known ones and below 32768, where the kernel starts to pick ports for
/// outgoing connections, so that a stopped daemon finds its port free when it starts again.
pub const PORTS: std::ops::Range<u16> = 12_000..32_000;

/// Kafka's heap. The default of 1 GiB times several test binaries would not fit a small machine.
pub const KAFKA_HEAP: &str = "-Xmx512m";

/// Largest answer read from Kafka: metadata of a test cluster is a few KiB.
pub const KAFKA_ANSWER_BYTES_MAX: usize = 4 << 20;

const _: () = assert!(
    PORTS.end <= 32_768,
    "ports above are given to outgoing connections by the kernel"
);
