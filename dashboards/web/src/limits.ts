/** Every bound of the page, with its reason. */

/** A hexagon is drawn about this wide at least, in pixels: smaller ones cannot be told apart or hit with a finger. */
export const HEXAGON_PX_MIN = 15;

/** The finest resolution that a store has, until it says otherwise. */
export const RESOLUTION_MAX = 9;

/** How often the server is asked where it does not stream: a person sees two seconds as now. */
export const POLL_MS = 2_000;

/** How often a range that has passed is asked for again: late events are rare. */
export const SETTLED_POLL_MS = 60_000;

/** First and longest pause after a failure; in between it doubles. Each is cut at random, so that thousands of pages do
 * not come back at the same moment. */
export const BACKOFF_FIRST_MS = 500;
export const BACKOFF_MAX_MS = 30_000;

/** A stream that has said nothing this long is dead: the server's heartbeat comes every 15 s. */
export const STREAM_SILENCE_MS = 40_000;

/** A stream must begin with a snapshot within this time; a proxy that keeps it back is not waited for longer. */
export const STREAM_FIRST_MS = 8_000;

/** After so many failures in a row the page polls, and tries the stream only now and then. */
export const STREAM_FAILURES_MAX = 2;

/** How often a page that polls tries whether streaming works by now. */
export const STREAM_RETRY_MS = 60_000;

/** Characters of one event of a stream: 20,000 hexagons have under 1.5 million. */
export const STREAM_EVENT_CHARACTERS_MAX = 16_000_000;

/** An answer must be there after this, else it counts as a failure: the server gives up at 12 s itself. */
export const ANSWER_MS_MAX = 20_000;

/** Hexagons that are kept on the map when one pans about, before those out of sight are dropped. */
export const HEXAGONS_KEPT = 40_000;

/** Outlines that light up at once when values change. More would be noise. */
export const FLASHES_MAX = 400;

/** How long an outline stays lit. */
export const FLASH_MS = 700;

/** How often it is looked for new metrics and tenants, and for how old the newest values are. */
export const CATALOG_MS = 15_000;

/** Data this old is called stale, in ranges that end now. */
export const STALE_MS = 60_000;

/** A view must rest this long before its series is asked for. */
export const SETTLE_MS = 250;

/** Summaries for screen readers are at least this far apart. */
export const ANNOUNCE_MS = 10_000;

/** So much of a bucket is its beginning: that nothing has reported in it by then is usual. */
export const BUCKET_NEW_SHARE = 0.1;

/** How long a word about something just done stays, and one that has to be read. */
export const TOAST_MS = 3_000;
export const TOAST_LONG_MS = 12_000;

/** Rows of the table that are shown at first, and that each request for more adds. */
export const ROWS_SHOWN = 100;

/** Suggestions under the search field. */
export const SUGGESTIONS_MAX = 8;

/** Devices that are listed for a hexagon. */
export const DEVICES_LISTED_MAX = 200;

/** How far back a track goes. */
export const TRACK_MS = 3_600_000;

/** The world at this resolution is how the page finds a first view: a few thousand hexagons at most. */
export const FIRST_VIEW_RESOLUTION = 3;

/** Metrics or tenants that are offered where the address names one that there is not. */
export const METRICS_OFFERED_MAX = 8;

/** Devices in view that are looked at for silent ones: one page of the server's answer. */
export const DEVICES_CHECKED_MAX = 1_000;

/** How often they are looked at: whoever is silent for minutes is found in time. */
export const DEVICES_CHECK_MS = 15_000;

/** A path longer than this is asked for less often: each answer has all of it. */
export const TRACK_POINTS_LIGHT = 1_000;

/** Pages of a path that are fetched: beyond 50,000 positions a line on a screen gains nothing. */
export const TRACK_PAGES_MAX = 5;

/** Whoever moves less than this stands still: positions by satellite wander about so much. */
export const TRACK_STILL_METRES = 30;

/** Times that are written along a path. */
export const TRACK_MARKS_MAX = 6;
