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

/// Largest MQTT packet taken. Ingest refuses payloads over 256 KiB by writing a dead letter, so they have to get that
/// far; beyond four times that no device sends by mistake.
pub const MQTT_PACKET_BYTES_MAX: usize = 1 << 20;

/// MQTT connections at once. One process may open 20,000 files on the machines this is made for.
pub const MQTT_CONNECTIONS_MAX: usize = 18_000;

/// Time a client has between the connection and its CONNECT packet.
pub const MQTT_CONNECT_MAX: Duration = Duration::from_secs(10);

/// Time a client has to take what is written to it before it counts as dead. Its session keeps what it missed.
pub const MQTT_WRITE_MAX: Duration = Duration::from_secs(30);

/// Size of a segment of the message log of a subscription filter; the oldest is dropped as a whole.
pub const MQTT_SEGMENT_BYTES: usize = 8 << 20;

/// Segments kept for a filter. The backlog of an absent subscriber is at least one segment less: 120 MiB of topics and
/// payloads, half a million messages of 200 bytes. Beyond that acknowledged messages are lost, see [`crate::mqtt`].
pub const MQTT_SEGMENTS_MAX: usize = 16;
const _: () = assert!(
    MQTT_SEGMENT_BYTES * (MQTT_SEGMENTS_MAX - 1) >= 100_000 * 300,
    "a hundred thousand messages of 200 bytes with their topics survive an absent subscriber"
);

/// Messages handed to a subscriber with QoS 0 in one turn of the router: rumqttd's own default.
pub const MQTT_QOS0_BATCH_MAX: u64 = 200;

/// Packets of one connection written together. The router never has more than 200 ready for one.
pub const MQTT_WRITE_BATCH_MAX: usize = 256;

/// Threads that move packets between sockets and the router, which has a thread of its own.
pub const MQTT_THREADS: usize = 2;
