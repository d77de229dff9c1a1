//! What the broker keeps on disk: one log of everything that happened, in segments, and the retained messages.
//!
//! ```text
//! core ── batch of records ──▶ writer (one thread: write, fsync) ──▶ core: these are safe now
//!                                     │
//! <folder>/<offset>.log  segments, each begun by the state of all sessions, so that the last one tells it all
//! <folder>/retained.log  retained messages, the newest of a topic counts; rewritten when most of it is old
//! ```
//!
//! A record that was cut off by a crash ends its file: nothing behind it was ever acknowledged. Must never report a
//! batch as safe that a crash could take back, nor delete a segment that a session has not read to its end.

mod files;
mod folder;
pub(super) mod record;
mod recovery;
mod writer;

#[cfg(test)]
pub(super) use self::files::scan_page;
pub(super) use self::{
    files::{Page, PageRequest, Place, read_page},
    folder::Folder,
    recovery::Recovery,
    writer::{Journal, run},
};
