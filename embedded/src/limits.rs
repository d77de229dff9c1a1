//! Every bound of this crate, with the reason for its value.

use std::time::Duration;

/// Statements of the engine that run at once; more wait for a place. Each holds a thread and the engine uses several
/// threads of its own per statement, so a machine gains nothing from more.
pub const STATEMENTS_MAX: usize = 32;

/// How long a statement waits for a place before it is answered with `TOO_MANY_SIMULTANEOUS_QUERIES`. Clients give up
/// at about this time themselves.
pub const STATEMENT_WAIT_MAX: Duration = Duration::from_secs(30);

/// Connections to the HTTP port at once; the next ones wait in the socket's queue. Well above the pools of all our
/// roles together, well below the usual limit of open files.
pub const HTTP_CONNECTIONS_MAX: usize = 1024;

/// Silence in the middle of a request after which it is given up: the server's own `http_receive_timeout`.
pub const REQUEST_SILENCE_MAX: Duration = Duration::from_secs(30);

/// Time for a connection to send the head of its first request.
pub const REQUEST_HEAD_MAX: Duration = Duration::from_secs(30);

/// Part of a request body kept in memory; the rest goes to a file that has no name. An insert of 50,000 rows of
/// measurements is about 4 MB, so the usual insert never touches the disk twice.
pub const BODY_MEMORY_BYTES_MAX: usize = 16 << 20;

/// Largest request body on the wire. Hundreds of the largest sensible insert; a guard for the disk.
pub const BODY_BYTES_MAX: u64 = 8 << 30;

/// Largest text of a statement, without the data of an INSERT. The server's default is 256 KiB; statements with long
/// IN lists are the reason for more.
pub const STATEMENT_BYTES_MAX: usize = 16 << 20;

/// Where an INSERT's own text must end: how much of the body is searched for its `FORMAT` or `VALUES`.
pub const INSERT_HEAD_BYTES_MAX: usize = 1 << 20;
const _: () = assert!(
    INSERT_HEAD_BYTES_MAX <= STATEMENT_BYTES_MAX,
    "an insert's head is a part of a statement"
);
const _: () = assert!(
    INSERT_HEAD_BYTES_MAX <= BODY_MEMORY_BYTES_MAX,
    "the head is searched in memory"
);

/// Pieces of a request body handed to the engine at a time. Large enough that the call costs nothing beside the parsing.
pub const INSERT_PIECE_BYTES: usize = 1 << 20;

/// Result pieces that wait for a slow reader; the engine then stops until there is room. A piece is one block of the
/// engine (65,409 rows) in the output format, or a part of it, see [`RESULT_PIECE_BYTES`].
pub const RESULT_PIECES_MAX: usize = 4;

/// Largest piece of a result passed on at once.
pub const RESULT_PIECE_BYTES: usize = 1 << 20;

/// Largest result of a format that cannot be streamed (JSON with totals, Parquet, Pretty) or that the client asked to
/// be complete before the first byte: it is held in memory. The engine answers `TOO_MANY_ROWS_OR_BYTES` beyond it.
pub const WHOLE_RESULT_BYTES_MAX: u64 = 256 << 20;

/// Largest native compressed block, either side of the compression. The server's own blocks are 1 MiB and clients
/// send up to a few MiB; this only keeps a broken length from reserving memory.
pub const NATIVE_BLOCK_BYTES_MAX: usize = 256 << 20;

/// Uncompressed size of the native blocks we send: the server's `max_compress_block_size`.
pub const NATIVE_BLOCK_BYTES: usize = 1 << 20;
const _: () = assert!(
    NATIVE_BLOCK_BYTES <= NATIVE_BLOCK_BYTES_MAX,
    "we must accept what we send"
);

/// Sessions kept by `session_id`. Each is an open session of the engine of a few hundred KiB.
pub const SESSIONS_MAX: usize = 1000;

/// Life of an idle session when the client names none: the server's `default_session_timeout`.
pub const SESSION_TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);

/// Longest life of an idle session a client may ask for: the server's `max_session_timeout`.
pub const SESSION_TIMEOUT_MAX: Duration = Duration::from_secs(3600);
const _: () = assert!(
    SESSION_TIMEOUT_DEFAULT.as_secs() <= SESSION_TIMEOUT_MAX.as_secs(),
    "the default is allowed"
);

/// Fields of a form (URL or multipart). Settings and parameters of one statement stay far below.
pub const FORM_FIELDS_MAX: usize = 1000;

/// Largest MQTT packet taken, unless the configuration says more. Ingest refuses large payloads by writing a dead
/// letter, so they have to get that far: 32 times what it decodes by default. Beyond, the connection is ended, which is
/// all that MQTT has to say about it.
pub const MQTT_PACKET_BYTES_DEFAULT: usize = 8 << 20;

/// Most that the configuration can say: four times the largest payload that ingest can be told to decode.
pub const MQTT_PACKET_BYTES_MAX: usize = 64 << 20;
const _: () = assert!(
    MQTT_PACKET_BYTES_DEFAULT <= MQTT_PACKET_BYTES_MAX && MQTT_PACKET_BYTES_MAX < 256 << 20,
    "below what MQTT itself can say"
);

/// Largest CONNECT packet. Of its parts only user properties can be more than 64 KiB, and nobody needs them; a client
/// that has not said who it is gets no more memory.
pub const MQTT_CONNECT_BYTES_MAX: usize = 1 << 20;

/// MQTT connections at once. One process may open 20,000 files on the machines this is made for.
pub const MQTT_CONNECTIONS_MAX: usize = 18_000;

/// Time a client has between the connection and its CONNECT packet.
pub const MQTT_CONNECT_MAX: Duration = Duration::from_secs(10);

/// Time a client has to take what is written to it before it counts as dead. Its session keeps what it missed.
pub const MQTT_WRITE_MAX: Duration = Duration::from_secs(30);

/// Largest record of the MQTT broker's log. A packet, and the sessions that it is for at 9 bytes each.
pub const MQTT_RECORD_BYTES_MAX: usize = 72 << 20;
const _: () = assert!(
    MQTT_PACKET_BYTES_MAX + 9 * MQTT_SESSIONS_MAX + 1024 <= MQTT_RECORD_BYTES_MAX,
    "a record holds any packet for any number of sessions"
);

/// MQTT sessions at once, of present and of absent clients. At the start of each segment of the log stands the state of
/// all of them, about 150 bytes each: 15 MB at this bound.
pub const MQTT_SESSIONS_MAX: usize = 100_000;

/// Filters of a session. Subscribers of fleets use wildcards; a bound only against a client gone wild.
pub const MQTT_SUBSCRIPTIONS_MAX: usize = 1000;

/// Levels of a topic or filter. Looking up a topic goes one call deeper with each; nobody has use for more.
pub const MQTT_LEVELS_MAX: usize = 128;

/// Topic aliases of a publisher: what a gateway of some devices uses.
pub const MQTT_TOPIC_ALIASES_MAX: u16 = 64;

/// Messages that a subscriber is given before it acknowledges one, if it asks for as many with its Receive Maximum.
/// Twice what ingest asks for. At 20 ms between message and acknowledgement it allows 400,000 messages/s; each takes
/// 16 bytes.
pub const MQTT_IN_FLIGHT_MAX: usize = 8192;

/// As before, for a subscriber that does not say. Some clients queue their acknowledgements in as many places as they
/// read messages, and stand still when those are full: rumqttc with 1,000 does at a window of 8,192.
pub const MQTT_IN_FLIGHT_DEFAULT: usize = 500;
const _: () = assert!(
    MQTT_IN_FLIGHT_DEFAULT <= MQTT_IN_FLIGHT_MAX,
    "who does not say gets no more"
);
const _: () = assert!(
    MQTT_IN_FLIGHT_MAX < 65_535,
    "every message in flight has a packet identifier"
);

/// Messages that a publisher of MQTT 5 may send before one is acknowledged. At 5 ms for an fsync it allows 800,000
/// messages/s; clients reserve memory for as many.
pub const MQTT_RECEIVE_MAX: u16 = 4096;

/// Messages of QoS 1 and 2 that wait in memory for a subscriber that is there. A subscriber further behind reads from
/// the log, which at this size costs it a page in some thousand messages.
pub const MQTT_QUEUE_BYTES_MAX: usize = 512 << 10;

/// Messages of QoS 0 that wait for a slow subscriber; more are dropped and counted. Half a second of 100,000
/// messages/s.
pub const MQTT_QOS0_BYTES_MAX: usize = 16 << 20;

/// As before, for all subscribers together.
pub const MQTT_QOS0_TOTAL_BYTES_MAX: usize = 256 << 20;

/// Records that are not safe on disk yet. Publishers with QoS 1 and 2 wait beyond that: a disk takes 50 ms for it.
pub const MQTT_PENDING_BYTES_MAX: usize = 16 << 20;

/// Messages on disk that some session has not acknowledged, with what cannot be deleted yet. Publishers with QoS 1 and
/// 2 wait beyond that. 30 million messages of 200 bytes, five minutes at 100,000 messages/s.
pub const MQTT_STORED_BYTES_MAX: u64 = 8 << 30;

/// Publishers with QoS 1 and 2 wait when the disk has less room than that: the event log and ClickHouse, which empty
/// the broker's store, need some.
pub const MQTT_FREE_BYTES_MIN: u64 = 256 << 20;

/// Free space below which the engine begins no INSERT and no merge: what it is in the middle of needs tens of MiB, and what it
/// writes when there is none left is lost.
pub const CLICKHOUSE_FREE_BYTES_MIN: u64 = 128 << 20;

/// Size of a file of the MQTT broker's log. Files are deleted as a whole, and the last one is read at the start, which
/// takes a tenth of a second at this size.
pub const MQTT_SEGMENT_BYTES: u64 = 32 << 20;
const _: () = assert!(
    MQTT_STORED_BYTES_MAX >= 8 * MQTT_SEGMENT_BYTES,
    "the store is full of messages, not of one file that cannot go yet"
);

/// Messages of one session that are read from the log in one go.
pub const MQTT_PAGE_BYTES: usize = 256 << 10;

/// Bytes of the log that are looked through for one page, other sessions' messages included: then the reader lets
/// others on.
pub const MQTT_SCAN_BYTES_MAX: usize = 4 << 20;

/// Bytes of the log that are read at a time.
pub const MQTT_SCAN_CHUNK_BYTES: usize = 512 << 10;

/// Retained messages, kept in memory and on disk. Over 100,000 devices with their last state.
pub const MQTT_RETAINED_BYTES_MAX: usize = 64 << 20;

/// Outdated part of the file of retained messages at which it is written anew, beside as much as is valid.
pub const MQTT_RETAINED_WASTE_BYTES_MAX: usize = 1 << 20;

/// Delay of positions, which are written beside other records without it. It bounds what is sent again after a crash.
pub const MQTT_POSITION_DELAY: Duration = Duration::from_millis(20);

/// Pause between looks at whether everything was handed over before a stop.
pub const MQTT_HAND_OVER_POLL: Duration = Duration::from_millis(10);

/// Pause between looks at what has expired and at the disk.
pub const MQTT_TICK: Duration = Duration::from_millis(250);

/// Pause between two warnings about the same thing.
pub const MQTT_REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// Output gathered for a client before it is written.
pub const MQTT_OUTPUT_FILL_BYTES: usize = 64 << 10;

/// Answers that wait for a client that does not read them; nothing more is read from it then.
pub const MQTT_OUTPUT_BYTES_MAX: usize = 1 << 20;
const _: () = assert!(
    MQTT_OUTPUT_FILL_BYTES < MQTT_OUTPUT_BYTES_MAX,
    "messages alone do not keep us from reading acknowledgements"
);

/// Buffer for what a client sends, while it sends little and while it sends much. Quiet clients have none.
pub const MQTT_READ_BYTES: (usize, usize) = (4 << 10, 64 << 10);

/// Patience with a lock on the MQTT broker's folder. Longer than a fork takes, too short for anyone to notice.
pub const MQTT_LOCK_WAIT_MAX: Duration = Duration::from_millis(300);

/// Threads that move packets between sockets and the broker.
pub const MQTT_THREADS: usize = 2;
