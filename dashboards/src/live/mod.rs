//! `/live`: hexagons of the open bucket as they change, as Server-Sent Events.
//!
//! ```text
//! cache ──notices──▶ hub ──▶ watches (one a metric and level) ──news, 2 a second──▶ clients ──▶ hyper, 64 KiB each
//! ClickHouse ──read once a bucket, and where notices may be missing──▶ ┘
//! ```
//!
//! A client makes its events when it is asked for more, so nothing queues for it. Must never hold memory for a client that
//! does not read, and never leave out a change without a `gap`.

mod bucket;
mod client;
pub(crate) mod event;
mod hub;
mod places;
mod pulse;
mod watch;

pub(crate) use pulse::Hangup;

use std::sync::Arc;

use axum::{
    Extension, Router,
    body::Body,
    extract::{RawQuery, State},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
    routing::get,
};
use futures::stream;
use geocache::CellCache;
use platform::shutdown::Shutdown;

use self::{client::Client, event::View, hub::Hub, places::Places, pulse::Pulse, watch::Key};
use crate::{
    StoredLevel,
    access::caller::{Caller, Request},
    api::{
        Api,
        parameters::Parameters,
        problem::{Kind, Problem},
        view::{self, Aggregate, BoundingBox},
    },
};

/// How proxies of the nginx kind are told not to collect a stream.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Live streams of one server.
pub(crate) struct Live {
    api: Arc<Api>,
    hub: Arc<Hub>,
    places: Places,
    shutdown: Shutdown,
}

impl Live {
    /// Begins to listen to the cache; without one, the store is read every few seconds.
    pub(crate) fn start(api: Arc<Api>, cache: Option<Arc<dyn CellCache>>, shutdown: Shutdown) -> Arc<Self> {
        Arc::new(Self {
            hub: Hub::start(api.clone(), cache, shutdown.clone()),
            api,
            places: Places::default(),
            shutdown,
        })
    }
}

pub(crate) fn router(live: Arc<Live>) -> Router {
    Router::new().route("/api/v1/live", get(answer)).with_state(live)
}

async fn answer(
    State(live): State<Arc<Live>>,
    Extension(hangup): Extension<Hangup>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let clock = live.api.clock.clone();
    let refused = live.hub.metrics().refused.clone();
    match open(live, hangup, &headers, caller.asks(query.as_deref())).await {
        Ok(client) => {
            let headers = [
                (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
                (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
                (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
                (ACCEL_BUFFERING, HeaderValue::from_static("no")),
            ];
            let events = stream::unfold(client, move |client| {
                let (caller, clock) = (caller.clone(), clock.clone());
                async move {
                    let next = client.next().await;
                    // A credential that ended meanwhile ends the stream: with its next event, or the next heartbeat.
                    next.filter(|_| caller.holds(clock.wall_ms()))
                }
            });
            (headers, Body::from_stream(events)).into_response()
        }
        Err(problem) => {
            if matches!(problem.kind, Kind::Crowded | Kind::ShareTaken) {
                refused.increment(1);
            }
            problem.into_response()
        }
    }
}

async fn open(live: Arc<Live>, hangup: Hangup, headers: &HeaderMap, request: Request<'_>) -> Result<Client, Problem> {
    let view = read(&live.api, request)?;
    let share = request.caller.known_share();
    let place = live.places.take(share)?;
    let watch = live.hub.join(&view.key, share).await?;
    let pulse = Arc::new(Pulse::new(hangup, live.hub.now_ms()));
    let mut client = Client::new(live.hub.clone(), view, watch, pulse, live.shutdown.clone(), place);
    if let Some(last) = headers.get(LAST_EVENT_ID) {
        client.resume(last.to_str().unwrap_or_default());
    }
    Ok(client)
}

fn read(api: &Api, request: Request<'_>) -> Result<View, Problem> {
    let mut parameters = Parameters::parse(request)?;
    let tenant = parameters.tenant()?;
    let metric = parameters.metric()?;
    let aggregate = Aggregate::read(&mut parameters)?;
    if matches!(
        aggregate,
        Aggregate::P50 | Aggregate::P90 | Aggregate::P99 | Aggregate::Devices
    ) {
        return Err(Problem {
            parameter: Some("agg".to_owned()),
            ..Problem::new(
                Kind::NotLive,
                format!("`agg={}` is not streamed: ask /api/v1/cells for it", aggregate.name()),
            )
        });
    }
    let period = period(&mut parameters, &api.levels)?;
    let place = BoundingBox::read(&mut parameters)?.unwrap_or(BoundingBox::WORLD);
    let resolution = match parameters.integer("res", 0, 15)? {
        Some(resolution) => u8::try_from(resolution).expect("at most 15"),
        None => view::resolution_for(&place, &api.levels, period),
    };
    parameters.finish()?;
    let level = view::stored_level(&api.levels, period, resolution)?;
    Ok(View {
        key: Key {
            tenant,
            metric,
            period,
            resolution: level.resolution,
        },
        aggregate,
        place,
        resolution,
        flush_interval_ms: level.flush_interval_ms,
    })
}

/// A stored period; the shortest where none is asked for.
fn period(parameters: &mut Parameters, levels: &[StoredLevel]) -> Result<u32, Problem> {
    const DAY: u32 = 86_400;
    let stored = || levels.iter().map(|level| level.period_seconds);
    let asked = parameters.integer("period", 1, DAY)?;
    match asked.or_else(|| stored().min()) {
        Some(period) if stored().any(|stored| stored == period) => Ok(period),
        _ => Err(Problem::parameter(
            "period",
            format!("`period` must be a stored one: {}", view::periods(levels)),
        )),
    }
}
