//! What can be asked: every address with its parameters and what it answers, as tables.
//!
//! Pure data. The bounds are those that requests are read with.

use utoipa::ToSchema;

use super::super::{
    catalog::Catalog, cells::Cells, devices, reply::Format, series::Series, track::Track, view::Aggregate,
};
use crate::{
    access::session::{self, Session},
    limits,
    live::event::LiveCells,
};

/// What a parameter may be.
pub(super) enum Kind {
    Text,
    /// From and to; the default, where there is one.
    Number(f64, f64, Option<f64>),
    /// From and to; the default, where there is one.
    Integer(u32, u32, Option<u32>),
    /// One of these; the default, where there is one.
    Choice(Vec<&'static str>, Option<&'static str>),
}

/// A parameter: name, kind, meaning. Whether it must be given is said by the operation.
pub(super) type Described = (&'static str, Kind, &'static str);

pub(super) struct Operation {
    pub(super) path: &'static str,
    pub(super) id: &'static str,
    pub(super) summary: &'static str,
    pub(super) answer: String,
    /// None: a stream of events.
    pub(super) formats: &'static [Format],
    /// Headers of its answers, beside those that all have.
    pub(super) headers: &'static [&'static str],
    /// It has an entity tag, so 304 can come.
    pub(super) is_tagged: bool,
    pub(super) required: &'static [&'static str],
    pub(super) parameters: Vec<Described>,
    /// Parameters that are headers.
    pub(super) in_head: Vec<Described>,
}

impl Default for Operation {
    /// What most of them are.
    fn default() -> Self {
        Self {
            path: "",
            id: "",
            summary: "",
            answer: String::new(),
            formats: &[Format::Json],
            headers: &[],
            is_tagged: true,
            required: &[],
            parameters: Vec::new(),
            in_head: Vec::new(),
        }
    }
}

/// The longest period.
const DAY_SECONDS: u32 = 86_400;

const ALL_FORMATS: &[Format] = &[Format::Json, Format::GeoJson, Format::Csv, Format::Arrow];

const VIEW_HEADERS: &[&str] = &[
    "Meridian-Freshness",
    "Meridian-From",
    "Meridian-To",
    "Meridian-Period",
    "Meridian-Res",
    "Meridian-Complete",
    "Meridian-Coarsened",
    "Meridian-Lite",
];

const TRACK_HEADERS: &[&str] = &[
    "Link",
    "Meridian-Freshness",
    "Meridian-From",
    "Meridian-To",
    "Meridian-Complete",
];

/// What these headers say.
pub(super) const HEADERS: &[(&str, &str)] = &[
    (
        "Link",
        "`<?…>; rel=\"next\"`: the page after this one, relative to the address that was asked; none on the last one",
    ),
    (
        "Meridian-Freshness",
        "Newest event time that is in; none before the first event",
    ),
    ("Meridian-From", "Start of the range used"),
    ("Meridian-To", "End of the range used, not part of it"),
    ("Meridian-Period", "Seconds"),
    ("Meridian-Res", "H3 resolution, where the answer is about cells"),
    (
        "Meridian-Complete",
        "1: events newer than the range are in, so only late ones can change the answer; else 0",
    ),
    (
        "Meridian-Coarsened",
        "1: the resolution is lower than asked for, since there were too many cells; else 0",
    ),
    (
        "Meridian-Lite",
        "1: the store does not keep up, and this is coarser, or older, than it could be; else 0",
    ),
];

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation {
            path: "/api/v1/cells",
            id: "cells",
            summary: "Hexagons in view: one value for each over the whole range",
            answer: Cells::name().into_owned(),
            formats: ALL_FORMATS,
            headers: VIEW_HEADERS,
            required: &["metric"],
            parameters: join(
                view(),
                [
                    bbox("Cells whose centre lies in it"),
                    resolution(
                        "H3 resolution, no finer than what is stored for the period; none: one that fits the view",
                    ),
                ],
            ),
            ..Operation::default()
        },
        Operation {
            path: "/api/v1/series",
            id: "series",
            summary: "One value for each bucket: of a tenant, a box, a cell or a device",
            answer: Series::name().into_owned(),
            formats: &[Format::Json, Format::Csv, Format::Arrow],
            headers: VIEW_HEADERS,
            required: &["metric"],
            parameters: join(
                view(),
                [
                    ("cell", Kind::Text, "H3 cell, 15 hexadecimal digits"),
                    (
                        "device",
                        Kind::Text,
                        "One device, from its measurements; of every tenant that has one of this name, unless `tenant` chooses",
                    ),
                    bbox("Cells at `res` whose centre lies in it"),
                    resolution(
                        "H3 resolution of the cells in a `bbox`, no finer than what is stored for the period; none: 9, or the finest",
                    ),
                ],
            ),
            ..Operation::default()
        },
        Operation {
            path: "/api/v1/devices",
            id: "devices",
            summary: "Last known state of devices, in the order of their names",
            answer: devices::Devices::name().into_owned(),
            formats: ALL_FORMATS,
            headers: &["Link"],
            parameters: vec![
                tenant(),
                bbox("Devices whose last position lies in it"),
                (
                    "search",
                    Kind::Text,
                    "Devices with this in their name, whatever the case of letters; 1 to 128 letters, digits and `._:-`",
                ),
                limit(limits::DEVICES_MAX, limits::DEVICES_DEFAULT),
                cursor(),
            ],
            ..Operation::default()
        },
        Operation {
            path: "/api/v1/devices/{tenant}/{device}",
            id: "device",
            summary: "Last known state of one device",
            answer: devices::Device::name().into_owned(),
            ..Operation::default()
        },
        Operation {
            path: "/api/v1/devices/{tenant}/{device}/track",
            id: "track",
            summary: "Where a device was",
            answer: Track::name().into_owned(),
            formats: ALL_FORMATS,
            headers: TRACK_HEADERS,
            parameters: join(
                range(),
                [limit(limits::TRACK_POINTS_MAX, limits::TRACK_POINTS_MAX), cursor()],
            ),
            ..Operation::default()
        },
        nearby(),
        live(),
        Operation {
            path: session::PATH,
            id: "session",
            summary: "Who asks, and what may be asked",
            answer: Session::name().into_owned(),
            is_tagged: false,
            ..Operation::default()
        },
        Operation {
            path: "/api/v1/metrics-catalog",
            id: "metricsCatalog",
            summary: "What is measured, and when last",
            answer: Catalog::name().into_owned(),
            formats: &[Format::Json, Format::Csv],
            parameters: vec![tenant()],
            ..Operation::default()
        },
    ]
}

fn live() -> Operation {
    let adding_up = ["avg", "count", "sum", "min", "max"];
    Operation {
        path: "/api/v1/live",
        id: "live",
        summary: "Hexagons of the open bucket as they change: events `snapshot`, `delta` and `gap`",
        answer: LiveCells::name().into_owned(),
        formats: &[],
        is_tagged: false,
        in_head: vec![(
            "Last-Event-ID",
            Kind::Text,
            "`id` of the last event that came: what changed since follows, or a `gap`",
        )],
        required: &["metric"],
        parameters: vec![
            ("metric", Kind::Text, "One of the metrics catalog"),
            tenant(),
            (
                "agg",
                Kind::Choice(adding_up.to_vec(), Some("avg")),
                "What is made of the values; none: `avg`",
            ),
            (
                "period",
                Kind::Integer(1, DAY_SECONDS, None),
                "Seconds, a stored period; none: the shortest one",
            ),
            bbox("Cells whose centre lies in it; none: the world"),
            resolution("H3 resolution, no finer than what is stored for the period; none: as fits the box"),
        ],
        ..Operation::default()
    }
}

fn nearby() -> Operation {
    Operation {
        path: "/api/v1/nearby",
        id: "nearby",
        summary: "Devices nearest to a place, by great-circle distance",
        answer: devices::Nearby::name().into_owned(),
        formats: &[Format::Json, Format::GeoJson],
        required: &["lat", "lon"],
        parameters: vec![
            tenant(),
            ("lat", Kind::Number(-90.0, 90.0, None), "Degrees"),
            ("lon", Kind::Number(-180.0, 180.0, None), "Degrees"),
            (
                "radius_m",
                Kind::Number(0.0, limits::RADIUS_M_MAX, Some(limits::RADIUS_M_MAX)),
                "Greatest distance; none: everywhere",
            ),
            limit(limits::DEVICES_MAX, limits::NEARBY_DEFAULT),
        ],
        ..Operation::default()
    }
}

fn join<const N: usize>(mut first: Vec<Described>, second: [Described; N]) -> Vec<Described> {
    first.extend(second);
    first
}

fn tenant() -> Described {
    ("tenant", Kind::Text, "Of this tenant only; none: all of them")
}

fn range() -> Vec<Described> {
    vec![
        (
            "from",
            Kind::Text,
            "RFC 3339 text, or Unix seconds or milliseconds, told apart by magnitude; none: an hour before `to`",
        ),
        ("to", Kind::Text, "Not part of the range; none: now"),
    ]
}

fn view() -> Vec<Described> {
    let aggregates = Aggregate::ALL.iter().map(|(name, _)| *name).collect();
    let mut parameters = join(
        range(),
        [
            tenant(),
            ("metric", Kind::Text, "One of the metrics catalog"),
            (
                "agg",
                Kind::Choice(aggregates, Some("avg")),
                "What is made of the values; none: `avg`",
            ),
            (
                "period",
                Kind::Integer(1, DAY_SECONDS, None),
                "Seconds; the range is widened to whole periods; none: as fits the range",
            ),
        ],
    );
    parameters.rotate_left(2);
    parameters
}

fn bbox(which: &'static str) -> Described {
    ("bbox", Kind::Text, which)
}

fn resolution(default: &'static str) -> Described {
    ("res", Kind::Integer(0, 15, None), default)
}

fn limit(most: u32, default: u32) -> Described {
    ("limit", Kind::Integer(1, most, Some(default)), "How many at most")
}

fn cursor() -> Described {
    ("cursor", Kind::Text, "`next` of the page before")
}
