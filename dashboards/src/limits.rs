//! Every bound of this crate, with its reason.

use std::time::Duration;

use crate::access::buckets::Rate;

/// Open requests at shutdown get this long: pages are made in memory.
pub const DRAIN_MAX: Duration = Duration::from_secs(1);

/// How often the start page asks again: it shows health, and a person looks at it.
pub const REFRESH_SECONDS: u32 = 5;

/// Taps at once: people looking on. Each reads the log for itself.
pub const TAPS_MAX: usize = 8;

/// Connections at once. Each costs some 20 KB; those who come later wait in the backlog.
pub const CONNECTIONS_MAX: usize = 10_000;

/// How long the head of a request may take to arrive: longer than any link needs, short enough that idle sockets are
/// no attack.
pub const REQUEST_HEAD_MAX: Duration = Duration::from_secs(10);

/// And its body: the one that is read at all is a key.
pub const REQUEST_BODY_MAX: Duration = Duration::from_secs(10);

/// How long a client may take nothing of an answer that is being sent: a train goes through a tunnel faster. Answers of
/// clients that never read would fill the memory.
pub const UNREAD_ANSWER_MAX: Duration = Duration::from_secs(30);

/// Pause after a connection could not be accepted, which is mostly a lack of file descriptors.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bytes of a query string: the longest sensible one has 200.
pub const QUERY_STRING_BYTES_MAX: usize = 4_096;

/// Hexagons in one answer: what a browser draws with ease. More are answered coarser.
pub const HEXAGONS_MAX: u32 = 20_000;

/// Hexagons that a view should have where its resolution is left to us: fine, and well below the bound.
pub const HEXAGONS_WANTED: f64 = 5_000.0;

/// Buckets in one series: more than any screen has pixels.
pub const BUCKETS_MAX: u32 = 10_000;

/// Buckets that a range should have where its period is left to us.
pub const BUCKETS_WANTED: u64 = 1_500;

/// The range where none is given: the last hour.
pub const RANGE_MS_DEFAULT: i64 = 3_600_000;

/// Latest time that can be asked for: a bucket of a day that begins before still ends within 32 bits of seconds.
pub const TIME_MS_MAX: i64 = (u32::MAX as i64 / 86_400 - 1) * 86_400_000;

/// Devices on one page, where nothing is said and at most.
pub const DEVICES_DEFAULT: u32 = 100;
/// See [`DEVICES_DEFAULT`].
pub const DEVICES_MAX: u32 = 1_000;

/// Nearest devices, where nothing is said; at most as many as a page has.
pub const NEARBY_DEFAULT: u32 = 10;

/// Half the circumference of the Earth and some: no two places are further apart.
pub const RADIUS_M_MAX: f64 = 20_038_000.0;

/// Positions of a track in one answer: a day of one every ten seconds.
pub const TRACK_POINTS_MAX: u32 = 10_000;

/// Metrics in a catalog: the page of a person. Fleets have tens.
pub const CATALOG_METRICS_MAX: u32 = 10_000;

/// Queries that ClickHouse works on for us at once: it uses all cores for each, so more only wait there.
pub const QUERIES_MAX: usize = 16;

/// Of these, places for all but live maps: two are always left to those.
pub const VIEW_QUERIES_MAX: usize = 14;

/// Places for exports: a quarter, so that people do not notice them.
pub const EXPORT_QUERIES_MAX: usize = 4;

/// Places for one tenant: three quarters, so that the others are answered too.
pub const TENANT_QUERIES_MAX: usize = 12;

/// Queries that wait, of all and of one tenant: at a tenth of a second each, those at the end would be answered in time.
pub const QUEUE_MAX: usize = 256;
/// See [`QUEUE_MAX`].
pub const TENANT_QUEUE_MAX: usize = 128;

/// How long a query waits for its turn, before the client is told to come back.
pub const QUEUE_WAIT_MAX: Duration = Duration::from_secs(2);

/// The same for exports, which programs wait for.
pub const EXPORT_WAIT_MAX: Duration = Duration::from_secs(10);

/// Lite mode begins when more than one of twenty queries takes longer than this: then a person sees the map stutter.
pub const LITE_SLOW: Duration = Duration::from_secs(2);

/// It ends when none of these takes longer than this, and so long: what went well once may not twice.
pub const LITE_QUICK: Duration = Duration::from_secs(1);
/// See [`LITE_QUICK`].
pub const LITE_CALM: Duration = Duration::from_secs(10);

/// It begins, too, when so many queries wait for their turn, and ends when hardly one does.
pub const LITE_QUEUE_LONG: usize = 16;
/// See [`LITE_QUEUE_LONG`].
pub const LITE_QUEUE_SHORT: usize = 2;

/// Queries that are looked at: those of the last half minute, and of each tenant, or credential for several, only the last.
/// They have some 5 KB.
pub const LITE_WINDOW: Duration = Duration::from_secs(30);
/// See [`LITE_WINDOW`].
pub const LITE_QUERIES_MAX: usize = 128;

/// Tenants, and credentials for several, that are told apart by how long their queries took: so many are gone through in
/// some microseconds. More than that do not ask the store within half a minute; if they do, they count together.
pub const LITE_SHARES_MAX: usize = 512;

/// Fewer queries than this say nothing about the store.
pub const LITE_QUERIES_MIN: usize = 8;

/// When a client that was turned away should come again.
pub const RETRY_AFTER_SECONDS: u32 = 2;

/// How long caches keep a file whose name changes with what is in it: a year, which is for ever.
pub const ASSET_AGE_SECONDS: u32 = 31_536_000;

/// How long ClickHouse may work on one query: a person has gone by then.
pub const QUERY_TIME_MAX: Duration = Duration::from_secs(10);

/// How long we wait for its answer: longer, so that its own word about the time comes first.
pub const ANSWER_WAIT_MAX: Duration = Duration::from_secs(12);

/// Rows that one query may read: some seconds of work on one machine.
pub const ROWS_READ_MAX: u64 = 500_000_000;

/// Memory that one query may use there: sketches of the largest answer need a tenth of it.
pub const QUERY_MEMORY_BYTES_MAX: u64 = 2 << 30;

/// How often ClickHouse is asked whether it is there.
pub const PROBE_INTERVAL: Duration = Duration::from_secs(5);

/// Probes in a row without an answer that make the role unready: one may be lost to a busy moment.
pub const PROBES_MISSED_MAX: u32 = 3;

/// How long caches may use a complete answer about time that has passed, before they ask whether it still holds.
pub const SETTLED_AGE_SECONDS: u32 = 60;

/// How long they may still show it then, while they ask. Late events change such an answer too, so this is no longer than
/// the time before: what somebody sees is two minutes old at most, and does not wait for us.
pub const SETTLED_STALE_SECONDS: u32 = 60;

/// The same two times for answers that change with every event: what is shown stays near what happens.
pub const OPEN_AGE_SECONDS: u32 = 1;
/// See [`OPEN_AGE_SECONDS`].
pub const OPEN_STALE_SECONDS: u32 = 10;

/// Rows of an answer that are written where the request is served: a millisecond at most, as outlines of hexagons take some
/// ten microseconds each. More are written on a thread where nobody else waits.
pub const ROWS_WRITTEN_IN_PLACE_MAX: usize = 100;

/// Answers written at once on such threads: each takes a core for up to a fifth of a second, and the largest some ten
/// megabytes. Those who wait hold only what the answer is written from.
pub const WRITERS_MAX: usize = 4;

/// Live streams at once: most of all connections, and room for those who only ask.
pub const LIVE_CLIENTS_MAX: usize = 8_000;

/// Of these, those of one tenant, or of one credential for several: a quarter, so that it takes several to fill all.
pub const LIVE_CLIENTS_OF_SHARE_MAX: usize = LIVE_CLIENTS_MAX / 4;

/// Rounds of a live stream: two a second, which eyes cannot follow faster.
pub const LIVE_ROUND: Duration = Duration::from_millis(500);

/// Silence after which a comment keeps a live stream open: proxies close what is idle for half a minute or more.
pub const LIVE_HEARTBEAT: Duration = Duration::from_secs(15);

/// A live stream that nobody reads for this long is closed: two heartbeats.
pub const LIVE_SILENT_MAX: Duration = Duration::from_secs(30);

/// What a browser waits before it comes back to a stream that broke off.
pub const LIVE_RETRY_MS: u32 = 1_000;

/// Different metrics and levels watched at once: each costs one query a minute, and its hexagons in memory.
pub const WATCHES_MAX: usize = 128;

/// Of these, those that one tenant, or one credential for several, has had begun: a quarter, for the same reason. Names of
/// metrics can be made up.
pub const WATCHES_OF_SHARE_MAX: usize = WATCHES_MAX / 4;

/// How far ahead of our clock something may be before it is a clock that is, or was, wrong: as far as events may be ahead.
pub const AHEAD_MS_MAX: i64 = schemas::limits::FUTURE_SKEW_MS_MAX_DEFAULT;

/// Hexagons of one watch: ten times what one answer may have; some 60 MB.
pub const WATCHED_CELLS_MAX: usize = 200_000;

/// Rows read for one watch: a hexagon has one for each log partition and generation.
pub const WATCHED_ROWS_MAX: u32 = 1_000_000;

/// Snapshots of one watch and round that are kept for those who come next: different views; some 32 MB if all were of the
/// largest size.
pub const SHARED_SNAPSHOTS_MAX: usize = 32;

/// How long a watch outlives the last who follow it, so that those who come back can resume.
pub const WATCH_LINGER: Duration = Duration::from_secs(30);

/// How often a watch is compared with the store though all changes are told: the backstop.
pub const WATCH_RECHECK_INTERVAL: Duration = Duration::from_secs(60);

/// How often a watch is read from the store while nobody tells of changes.
pub const WATCH_POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Pause before the store is asked again after it did not answer.
pub const WATCH_READ_PAUSE: Duration = Duration::from_secs(1);

/// Bytes that a connection holds of what its client has not taken yet.
pub const WRITE_BUFFER_BYTES: usize = 64 << 10;

/// Answers kept in memory: a thousand of the usual size.
pub const ANSWERS_BYTES_MAX: usize = 64 << 20;

/// What keeping an answer costs beside the answer.
pub const ANSWER_OVERHEAD_BYTES: usize = 512;

/// How long a kept answer about a time that is not over is used though no change was told: the backstop for what is
/// changed by hand. One about a time that is over is used as long as caches outside may use it.
pub const OPEN_AGE_MAX: Duration = Duration::from_secs(10);

/// How old an answer may be that stands in for a store that is overtaxed or away.
pub const STALE_AGE_MAX: Duration = Duration::from_secs(60);

/// Wide answers, out of which others are cut, are asked for where the range has no more stored buckets than this: an hour
/// of minutes, three days of hours.
pub const WORLD_BUCKETS_MAX: u32 = 100;

/// The same for answers that are as wide as some tiles.
pub const TILES_BUCKETS_MAX: u32 = 400;

/// The smallest tiles are 360° / 2¹⁰ wide, a third of a degree: a city.
pub const TILE_HALVINGS_MAX: f64 = 10.0;

/// A wide answer that takes longer costs more than it saves: that long is a query for lite mode, too.
pub const WIDE_TIME_MAX: Duration = Duration::from_secs(2);

/// One that is too much is tried again after this time: devices move, and the store is not always as busy.
pub const WIDE_REFUSED_FOR: Duration = Duration::from_secs(60);

/// So many views with too much in them are remembered: some 100 bytes each.
pub const WIDE_REFUSALS_MAX: usize = 10_000;

/// How long the refusal of a question that asks too much is repeated without asking the store.
pub const REFUSAL_AGE_MAX: Duration = Duration::from_secs(2);

/// Answers from memory are compared with the store at most this often: a query of some tens of milliseconds each time.
pub const INSPECTION_INTERVAL: Duration = Duration::from_millis(500);

/// A flush is told this long after its rows can be read, at the latest: a difference within it is none.
pub const INSPECTION_GRACE: Duration = Duration::from_secs(5);

/// Buckets of one tenant, metric and level whose changes are told apart: two hours of minutes. Earlier ones count as one.
pub const CHANGED_BUCKETS_OF_LEVEL_MAX: usize = 128;

/// The same of all together: some 50 MB, where each is of another tenant and metric. Beyond, everything counts as changed.
pub const CHANGED_BUCKETS_MAX: usize = 262_144;

/// Tenants whose newest event times are remembered as they were told: some kilobytes each at most.
pub const TOLD_TENANTS_MAX: usize = 16_384;

/// Moments at which newest event times were told that are told apart: a minute of them and more. Where a level waits for
/// longer, only the books count.
pub const ARRIVALS_MAX: usize = 128;

/// What is told within this time counts as told at once, at the end of it.
pub const ARRIVAL_LASTS: Duration = Duration::from_millis(500);

/// Where nobody tells: from the moment at which a change is due until it can be read, on a busy machine. A second at most
/// until the next flush begins, where the last one was late, and one for that. With a single second, answers became complete
/// a fifth of a second after the last rows came, with six processes on each core.
pub const FLUSH_TIME: Duration = Duration::from_secs(2);

/// Devices whose positions are held in memory: some 150 bytes each. Beyond, ClickHouse is asked.
pub const POSITIONS_MAX: usize = 2_000_000;

/// Positions read at once: a few hundred milliseconds of the largest table.
pub const POSITIONS_PAGE: u32 = 50_000;

/// Positions taken in before those who search have their turn: a millisecond.
pub const POSITIONS_TOGETHER: usize = 1_000;

/// Notices that wait to be taken in: some 64 flushes. More count as missed.
pub const POSITION_NOTICES_WAITING_MAX: usize = 64;

/// How often all positions are read though all changes are told: the backstop for what is changed by hand.
pub const POSITIONS_RECHECK_INTERVAL: Duration = Duration::from_secs(600);

/// Pause before positions are read again after something was missed or the store did not answer.
pub const POSITIONS_READ_PAUSE: Duration = Duration::from_secs(2);

/// How often the table of keys is read: a key that is revoked opens nothing after this. The table is tiny.
pub const KEYS_REFRESH_INTERVAL: Duration = Duration::from_secs(2);

/// How long one reading of it may take.
pub const KEYS_WAIT_MAX: Duration = Duration::from_secs(5);

/// Bytes of a login: a key has 81, a token some thousand.
pub const LOGIN_BYTES_MAX: usize = 16 << 10;

/// How long a browser keeps a login: a working day.
pub const SESSION_AGE_SECONDS: i64 = 12 * 3_600;

/// Credentials of one address that are refused as such; more are turned away with the time to wait. Nobody guesses 256
/// bits: this keeps logs and processors quiet.
pub const FAILED_LOGINS: Rate = Rate {
    per_second: 1,
    at_once: 30,
};

/// Credentials, and addresses, that are counted apart: some 100 bytes each. Those who do not fit in share one count.
pub const LIMITED_CLIENTS_MAX: usize = 65_536;

/// Bytes of a token; below what the head of a request may have.
pub const TOKEN_BYTES_MAX: usize = 8 << 10;

/// Bytes of what a browser holds: it drops a cookie of more than four thousand, with its name and attributes.
pub const COOKIE_BYTES_MAX: usize = 3 << 10;

/// How far clocks of issuers may be off.
pub const TOKEN_LEEWAY: Duration = Duration::from_secs(60);

/// How often the keys of an issuer are fetched again, so that one that was withdrawn is forgotten.
pub const ISSUER_KEYS_REFRESH: Duration = Duration::from_secs(600);

/// Shortest pause between two attempts to fetch them, whatever tokens name.
pub const ISSUER_KEYS_PAUSE: Duration = Duration::from_secs(30);

/// How long they count while the issuer does not answer: a night.
pub const ISSUER_KEYS_AGE_MAX: Duration = Duration::from_secs(12 * 3_600);

/// Bytes of the keys of an issuer: they have some thousand.
pub const ISSUER_KEYS_BYTES_MAX: usize = 256 << 10;

/// How long fetching them may take: who asks is waiting.
pub const ISSUER_KEYS_WAIT: Duration = Duration::from_secs(5);

const _: () = assert!(ISSUER_KEYS_PAUSE.as_secs() < ISSUER_KEYS_REFRESH.as_secs());
const _: () = assert!(ISSUER_KEYS_REFRESH.as_secs() < ISSUER_KEYS_AGE_MAX.as_secs());
const _: () = assert!(TOKEN_BYTES_MAX < LOGIN_BYTES_MAX);
const _: () = assert!(EXPORT_QUERIES_MAX < VIEW_QUERIES_MAX && VIEW_QUERIES_MAX < QUERIES_MAX);
const _: () = assert!(TENANT_QUERIES_MAX < VIEW_QUERIES_MAX && TENANT_QUEUE_MAX < QUEUE_MAX);
const _: () = assert!(LITE_QUICK.as_millis() < LITE_SLOW.as_millis() && LITE_QUEUE_SHORT < LITE_QUEUE_LONG);
const _: () = assert!(
    PROBE_INTERVAL.as_secs() < LITE_CALM.as_secs(),
    "its metric is measured at each probe"
);
const _: () = assert!(
    WIDE_TIME_MAX.as_secs() < QUERY_TIME_MAX.as_secs(),
    "only what had all the time counts as slow"
);
const _: () = assert!(LIVE_CLIENTS_MAX < CONNECTIONS_MAX);
const _: () = assert!(LIVE_HEARTBEAT.as_secs() < LIVE_SILENT_MAX.as_secs());
const _: () = assert!(WATCHED_CELLS_MAX >= HEXAGONS_MAX as usize);
const _: () = assert!(QUERY_TIME_MAX.as_secs() < ANSWER_WAIT_MAX.as_secs());
const _: () = assert!(SETTLED_STALE_SECONDS <= SETTLED_AGE_SECONDS && OPEN_AGE_SECONDS < SETTLED_AGE_SECONDS);
const _: () = assert!(HEXAGONS_WANTED < HEXAGONS_MAX as f64);
