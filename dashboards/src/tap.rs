//! A live view of events as they pass through the log, one canonical event in a line, for who operates the pipeline.
//!
//! Reads from the end of the log on, as a group of its own that never commits: it takes nothing from anybody, and a slow
//! reader only slows itself down. Must never show an event of a tenant that is not the caller's.

use std::sync::Arc;

use axum::{
    Extension,
    body::Body,
    extract::{Query, State},
    http::{
        StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use eventlog::{Consumer, ConsumerEvent, Headers, Log, LogError, RecordBatch, Subscription};
use futures::stream;
use platform::{clock::Clock, shutdown::Shutdown};
use schemas::record;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{access::caller::Caller, limits, server::Pages};

/// Where it is served.
pub const PATH: &str = "/api/v1/tap";

/// Which events to show.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tap {
    /// Of this tenant only.
    pub tenant: Option<String>,
    /// Of this device only.
    pub device: Option<String>,
}

/// The log to be tapped, and how often at once.
#[derive(Debug)]
pub(crate) struct Tappable {
    log: Log,
    places: Arc<Semaphore>,
    shutdown: Shutdown,
}

impl Tappable {
    pub(crate) fn new(log: Log, shutdown: Shutdown) -> Self {
        Self {
            log,
            places: Arc::new(Semaphore::new(limits::TAPS_MAX)),
            shutdown,
        }
    }
}

impl Tap {
    /// A member of a group of its own.
    ///
    /// # Errors
    /// When the log refuses its configuration.
    pub fn open(log: &Log) -> Result<Box<dyn Consumer>, LogError> {
        log.consumer(Subscription {
            group: format!("meridian-tap-{:016x}", rand::random::<u64>()),
            topics: vec![(record::EVENTS_TOPIC.into(), Headers::Skip)],
        })
    }

    /// The next events that are wanted, each in a line; empty when something else happened.
    ///
    /// # Errors
    /// When the log fails.
    pub async fn next(&self, consumer: &mut dyn Consumer) -> Result<Vec<u8>, LogError> {
        match consumer.next().await? {
            ConsumerEvent::Assigned(partitions) => {
                tracing::info!(partitions = partitions.len(), "watching from the end of the log on");
                for partition in partitions {
                    match consumer.start(&partition.topic_partition, partition.high).await {
                        // It left again meanwhile, and will come back if it is ours.
                        Ok(()) | Err(LogError::Fenced { .. }) => {}
                        Err(error) => return Err(error),
                    }
                }
                Ok(Vec::new())
            }
            ConsumerEvent::Revoked(_) => Ok(Vec::new()),
            ConsumerEvent::Records(batch) => Ok(self.lines(&batch)),
        }
    }

    fn lines(&self, batch: &RecordBatch) -> Vec<u8> {
        let mut lines = Vec::new();
        for record in batch.iter() {
            // What is no event becomes a dead letter further on; it cannot be told whose it is.
            let Ok(event) = record::decode(record.value) else {
                continue;
            };
            let is_wanted = |wanted: Option<&str>, is: &str| wanted.is_none_or(|wanted| wanted == is);
            if is_wanted(self.tenant.as_deref(), &event.tenant) && is_wanted(self.device.as_deref(), &event.device) {
                lines.extend_from_slice(record.value);
                lines.push(b'\n');
            }
        }
        lines
    }
}

/// An open tap of one client.
struct Flow {
    tap: Tap,
    consumer: Box<dyn Consumer>,
    shutdown: Shutdown,
    caller: Caller,
    clock: Arc<dyn Clock>,
    _place: OwnedSemaphorePermit,
}

pub(crate) async fn answer(
    State(pages): State<Arc<Pages>>,
    Extension(caller): Extension<Caller>,
    Query(mut tap): Query<Tap>,
) -> Response {
    let refuse = |status: StatusCode, text: &'static str| (status, text).into_response();
    let Some(tappable) = &pages.tap else {
        return refuse(StatusCode::NOT_FOUND, "this process has no event log\n");
    };
    match caller.tenant(tap.tenant.take()) {
        Ok(all) if all.is_empty() => {}
        Ok(tenant) => tap.tenant = Some(tenant),
        Err(problem) => return problem.into_response(),
    }
    let Ok(place) = tappable.places.clone().try_acquire_owned() else {
        return refuse(StatusCode::TOO_MANY_REQUESTS, "all taps are in use; close one\n");
    };
    let consumer = match Tap::open(&tappable.log) {
        Ok(consumer) => consumer,
        Err(error) => {
            tracing::error!(%error, "cannot tap the event log");
            return refuse(StatusCode::INTERNAL_SERVER_ERROR, "the event log cannot be tapped\n");
        }
    };
    let flow = Flow {
        tap,
        consumer,
        shutdown: tappable.shutdown.clone(),
        caller,
        clock: pages.health.clock(),
        _place: place,
    };
    let headers = [(CONTENT_TYPE, "application/x-ndjson"), (CACHE_CONTROL, "no-store")];
    (headers, Body::from_stream(stream::unfold(flow, next_piece))).into_response()
}

/// What the client gets next; none at shutdown, or when its credential has ended.
async fn next_piece(mut flow: Flow) -> Option<(Result<Bytes, LogError>, Flow)> {
    loop {
        let lines = tokio::select! {
            biased;
            () = flow.shutdown.requested() => return None,
            lines = flow.tap.next(flow.consumer.as_mut()) => lines,
        };
        if !flow.caller.holds(flow.clock.wall_ms()) {
            return None;
        }
        match lines {
            Ok(lines) if lines.is_empty() => {}
            lines => return Some((lines.map(Bytes::from), flow)),
        }
    }
}
