//! Bounds of the sink, with their reasons.

use std::time::Duration;

/// An INSERT whose answer takes longer is sent again. Far beyond any insert that will still succeed, since the server
/// may go on with one that nobody waits for; there at all, so that a peer that vanished without a word cannot stop a
/// partition for ever.
pub const INSERT_TIMEOUT: Duration = Duration::from_secs(300);

/// Rows of one flush that may be refused on their own. More is no matter of rows: then somebody has to look at the table
/// before anything else is lost to it.
pub const REFUSED_ROWS_MAX: usize = 100;

/// Bodies are sent, and compressed, in pieces of this size: large enough that a piece costs nothing beside its bytes,
/// small enough that the server decompresses in its cache.
pub const PIECE_BYTES: usize = 1024 * 1024;
