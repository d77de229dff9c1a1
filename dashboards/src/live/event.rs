//! What goes over the wire: events as Server-Sent Events have them, and the identifiers by which a client resumes.
//!
//! Pure. An identifier says all that is needed to go on exactly: which watch, since which snapshot everybody begins with,
//! up to which round, and of which view.

use std::fmt;

use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;
use xxhash_rust::xxh3::Xxh3;

use super::{
    bucket::Hexagon,
    watch::{self, Key},
};
use crate::{
    api::{
        arrivals::Reach,
        finite, seconds_text, time_text,
        view::{Aggregate, BoundingBox, TimeRange},
    },
    limits,
};

/// What keeps a silent stream open.
pub(crate) const HEARTBEAT: &str = ": alive\n\n";

/// Hexagons of the open bucket: all of them in a `snapshot`, those that changed in a `delta`. One with a count of 0 is
/// there no more.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LiveCells {
    metric: String,
    agg: &'static str,
    /// Seconds.
    period: u32,
    /// H3 resolution of `cells`.
    res: u8,
    /// Start of the open bucket.
    from: String,
    /// Its end, not part of it.
    to: String,
    /// H3 cells as hexadecimal text, in rising order.
    cells: Vec<String>,
    /// One for each cell; none where its count is 0.
    values: Vec<Option<f64>>,
    /// Events of each cell.
    counts: Vec<u64>,
    /// Newest event time that is in; none before the first event.
    freshness: Option<String>,
    /// Events newer than the bucket are in, so only late ones can change it.
    complete: bool,
    /// `res` is lower than asked for, since there were too many cells.
    coarsened: bool,
    /// False while the store does not answer: then this is what the cache had, and may lack something.
    exact: bool,
}

/// Why a client has to read anew what it looks at beside the stream.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Gap {
    reason: &'static str,
}

/// What one client looks at.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) key: Key,
    pub(crate) aggregate: Aggregate,
    pub(crate) place: BoundingBox,
    /// As asked for.
    pub(crate) resolution: u8,
    pub(crate) flush_interval_ms: u64,
}

impl View {
    pub(crate) fn holds(&self, hexagon: &Hexagon) -> bool {
        self.place.holds(hexagon.latitude, hexagon.longitude)
    }

    /// Equal for all who get the same at this resolution.
    pub(crate) fn fingerprint(&self, resolution: u8) -> u64 {
        let mut hash = Xxh3::new();
        hash.update(self.aggregate.name().as_bytes());
        hash.update(&[resolution, self.resolution]);
        let BoundingBox {
            west,
            south,
            east,
            north,
        } = self.place;
        for edge in [west, south, east, north] {
            hash.update(&edge.to_bits().to_le_bytes());
        }
        hash.digest()
    }
}

/// How far a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) generation: u64,
    pub(crate) round: u64,
}

/// A position that means something to whoever has the same watch and view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identifier {
    epoch: u64,
    view: u64,
    position: Position,
}

impl Identifier {
    pub(crate) fn new(epoch: u64, view: &View, resolution: u8, position: Position) -> Self {
        Self {
            epoch,
            view: view.fingerprint(resolution),
            position,
        }
    }

    /// What a client gave; none for what is none of ours.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let mut parts = text.split('-').map(|part| u64::from_str_radix(part, 16).ok());
        let mut next = || parts.next().flatten();
        let (epoch, view, generation, round) = (next()?, next()?, next()?, next()?);
        let position = Position { generation, round };
        parts.next().is_none().then_some(Self { epoch, view, position })
    }

    /// The position, if it is one of this watch and view.
    pub(crate) fn position(self, epoch: u64, view: &View, resolution: u8) -> Option<Position> {
        (self.epoch == epoch && self.view == view.fingerprint(resolution)).then_some(self.position)
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { generation, round } = self.position;
        write!(formatter, "{:x}-{:x}-{generation:x}-{round:x}", self.epoch, self.view)
    }
}

/// What is told with hexagons.
pub(crate) struct Told<'a> {
    pub(crate) view: &'a View,
    /// As it is, coarser than asked for where there were too many.
    pub(crate) resolution: u8,
    pub(crate) bucket: u32,
    pub(crate) reach: Reach,
    pub(crate) is_exact: bool,
    /// Unix milliseconds.
    pub(crate) now_ms: i64,
}

impl Told<'_> {
    /// An event with hexagons.
    pub(crate) fn event(&self, name: &str, identifier: Identifier, hexagons: &[Hexagon]) -> Bytes {
        let data = serde_json::to_string(&self.cells(hexagons)).expect("text and numbers are always JSON");
        format!("event: {name}\nid: {identifier}\ndata: {data}\n\n").into()
    }

    fn cells(&self, hexagons: &[Hexagon]) -> LiveCells {
        let key = &self.view.key;
        let range = TimeRange {
            from: self.bucket,
            to: self.bucket.saturating_add(key.period),
        };
        let flush_interval_ms = self.view.flush_interval_ms;
        let value = |hexagon: &Hexagon| match hexagon.values.count {
            0 => None,
            _ => finite(watch::value(self.view.aggregate, &hexagon.values)),
        };
        LiveCells {
            metric: key.metric.clone(),
            agg: self.view.aggregate.name(),
            period: key.period,
            res: self.resolution,
            from: seconds_text(self.bucket),
            to: seconds_text(range.to),
            cells: hexagons.iter().map(|hexagon| format!("{:x}", hexagon.cell)).collect(),
            values: hexagons.iter().map(value).collect(),
            counts: hexagons.iter().map(|hexagon| hexagon.values.count).collect(),
            freshness: self.reach.fresh_ms(flush_interval_ms).map(time_text),
            complete: self.reach.completes(range, flush_interval_ms, self.now_ms),
            coarsened: self.resolution < self.view.resolution,
            exact: self.is_exact,
        }
    }
}

/// The event that tells a client to read anew.
pub(crate) fn gap(reason: &'static str) -> Bytes {
    let data = serde_json::to_string(&Gap { reason }).expect("text is always JSON");
    format!("event: gap\ndata: {data}\n\n").into()
}

/// What a stream begins with.
pub(crate) fn opening() -> Bytes {
    format!("retry: {}\n\n", limits::LIVE_RETRY_MS).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> View {
        View {
            key: Key {
                tenant: String::new(),
                metric: "speed".to_owned(),
                period: 60,
                resolution: 9,
            },
            aggregate: Aggregate::Avg,
            place: BoundingBox::WORLD,
            resolution: 8,
            flush_interval_ms: 1_000,
        }
    }

    #[test]
    fn an_identifier_comes_back_and_only_fits_what_it_was_made_for() {
        let position = Position {
            generation: 3,
            round: 77,
        };
        let identifier = Identifier::new(u64::MAX, &view(), 8, position);
        let read = Identifier::read(&identifier.to_string()).unwrap();
        assert_eq!(read.position(u64::MAX, &view(), 8), Some(position));
        assert_eq!(read.position(1, &view(), 8), None);
        assert_eq!(read.position(u64::MAX, &view(), 7), None);
        let other = View {
            aggregate: Aggregate::Max,
            ..view()
        };
        assert_eq!(read.position(u64::MAX, &other, 8), None);
        for text in [
            "",
            "1-2-3",
            "1-2-3-4-5",
            "g-1-1-1",
            "1-2-3-\u{e9}",
            "1-2-3-11111111111111111",
        ] {
            assert_eq!(Identifier::read(text), None, "{text}");
        }
    }
}
