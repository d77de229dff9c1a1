//! The promises of the runner, over the in-memory log and doubles of ClickHouse and the checkpoint store that watch
//! the order of things.

mod answers;
mod crashes;
mod doubles;
mod feed;
mod handover;
mod ordering;
mod outages;
mod tables;
mod world;
