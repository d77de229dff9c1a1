//! The side that writes: one task takes batches from a bounded queue, so that whoever publishes never waits.
//!
//! Messages are numbered. What could not be sent uses up its number, so that those who watch find it missing, at the next
//! message or heartbeat at the latest. Who ends in order says so, behind everything else.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use platform::clock::Clock;
use redis::{Client, RedisError, Script, aio::MultiplexedConnection};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use super::{
    connect,
    wire::{self, CHANGES, Message},
};
use crate::{Batch, Group, limits, metrics::CacheMetrics};

const PUT: &str = include_str!("put.lua");

/// Where batches wait.
pub(super) struct Queue {
    sender: mpsc::Sender<Errand>,
    /// Numbers to be left out: of batches that found the queue full, and of what was not published.
    refused: Arc<AtomicU64>,
}

/// What the task is asked for.
enum Errand {
    Tell(Box<Batch>),
    /// Say that nothing follows; then this is dropped.
    Leave(oneshot::Sender<()>),
}

/// The task that sends them.
struct Publisher {
    client: Client,
    connection: Option<MultiplexedConnection>,
    try_after: Instant,
    script: Script,
    publisher: u64,
    sequence: u64,
    /// Log partitions that were told of.
    partitions: BTreeSet<u16>,
    refused: Arc<AtomicU64>,
    clock: Arc<dyn Clock>,
    metrics: CacheMetrics,
}

impl Queue {
    /// Begins the task; it ends when the queue is dropped.
    pub(super) fn start(client: Client, clock: Arc<dyn Clock>, metrics: CacheMetrics) -> Self {
        let (sender, errands) = mpsc::channel(limits::BATCHES_WAITING_MAX);
        let refused = Arc::new(AtomicU64::new(0));
        let publisher = Publisher {
            client,
            connection: None,
            try_after: Instant::now(),
            script: Script::new(PUT),
            publisher: rand::random(),
            sequence: 0,
            partitions: BTreeSet::new(),
            refused: refused.clone(),
            clock,
            metrics,
        };
        tokio::spawn(publisher.run(errands));
        Self { sender, refused }
    }

    /// False when there is no room for it.
    pub(super) fn put(&self, batch: Batch) -> bool {
        let is_taken = self.sender.try_send(Errand::Tell(Box::new(batch))).is_ok();
        if !is_taken {
            self.skip();
        }
        is_taken
    }
}

impl Queue {
    /// Leaves out a number, so that those who watch know that something happened.
    pub(super) fn skip(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Says that nothing follows, once everything before was sent, and waits for it a moment.
    pub(super) async fn leave(&self) {
        let (done, is_done) = oneshot::channel();
        let leave = async {
            if self.sender.send(Errand::Leave(done)).await.is_ok() {
                // It is dropped when it was done, or could not be.
                let _ = is_done.await;
            }
        };
        if timeout(limits::LEAVE_MAX, leave).await.is_err() {
            tracing::warn!("the shared cache was not told that this process ends: servers read ClickHouse for a while");
        }
    }
}

impl Publisher {
    async fn run(mut self, mut errands: mpsc::Receiver<Errand>) {
        let mut heartbeats = interval(limits::HEARTBEAT_INTERVAL);
        heartbeats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                errand = errands.recv() => match errand {
                    Some(Errand::Tell(batch)) => self.take(*batch).await,
                    Some(Errand::Leave(_done)) => {
                        self.leave().await;
                        // It answers by being dropped, and so is all that comes after.
                        return;
                    }
                    None => return,
                },
                _ = heartbeats.tick() => self.beat().await,
            }
        }
    }

    async fn take(&mut self, batch: Batch) {
        self.skip_refused();
        // Before it is sent: what may have been sent counts.
        self.partitions.extend(batch.partitions());
        for piece in pieces(batch) {
            let count = piece.snapshot_count() as u64;
            self.sequence += 1;
            match self.send(piece).await {
                Ok(stale) => {
                    self.metrics.published.increment(count);
                    self.metrics.stale.increment(stale);
                }
                Err(error) => {
                    self.metrics.dropped.increment(count);
                    self.has_failed(error.as_ref());
                }
            }
        }
    }

    /// Who never published anything needs not be missed.
    async fn beat(&mut self) {
        self.skip_refused();
        if self.sequence > 0
            && let Err(error) = self.tell(None, false).await
        {
            self.has_failed(error.as_ref());
        }
    }

    async fn leave(&mut self) {
        self.skip_refused();
        if self.sequence > 0
            && let Err(error) = self.tell(None, true).await
        {
            self.has_failed(error.as_ref());
        }
    }

    fn skip_refused(&mut self) {
        self.sequence += self.refused.swap(0, Ordering::Relaxed);
    }

    fn has_failed(&mut self, error: Option<&RedisError>) {
        let Some(error) = error else { return };
        self.metrics.up.set(0.0);
        tracing::warn!(%error, "the shared cache does not answer: live maps read ClickHouse meanwhile");
        self.connection = None;
        self.try_after = Instant::now() + limits::RETRY_PAUSE;
    }

    /// Puts a piece, then tells it. Returns how many snapshots were stale. An error without words: it was away a moment
    /// ago, and was not tried again.
    async fn send(&mut self, piece: Batch) -> Result<u64, Option<RedisError>> {
        let now_seconds = self.clock.wall_ms() / 1_000;
        let mut stale = 0;
        let mut connection = self.connected().await?;
        for group in piece.groups.iter().filter(|group| !group.snapshots.is_empty()) {
            let put = self.put(group, now_seconds);
            stale += put.invoke_async::<u64>(&mut connection).await.map_err(Some)?;
        }
        self.tell(Some(piece), false).await?;
        Ok(stale)
    }

    fn put(&self, group: &Group, now_seconds: i64) -> redis::ScriptInvocation<'_> {
        let place = &group.place;
        let left_seconds = i64::from(place.end_seconds()) - now_seconds;
        let mut put = self.script.prepare_invoke();
        put.key(wire::place_key(place)).key(wire::tenants_key(place));
        put.arg(left_seconds.max(0) + i64::from(limits::RECENT_SECONDS));
        put.arg(&*place.tenant);
        for snapshot in &group.snapshots {
            put.arg(wire::field(snapshot)).arg(wire::value(snapshot));
        }
        put
    }

    async fn tell(&mut self, batch: Option<Batch>, has_left: bool) -> Result<(), Option<RedisError>> {
        let message = Message {
            publisher: self.publisher,
            sequence: self.sequence,
            batch,
            partitions: self.partitions.iter().copied().collect(),
            has_left,
        };
        let mut connection = self.connected().await?;
        let mut publish = redis::cmd("PUBLISH");
        publish.arg(CHANGES).arg(message.write());
        publish.query_async::<()>(&mut connection).await.map_err(Some)
    }

    async fn connected(&mut self) -> Result<MultiplexedConnection, Option<RedisError>> {
        if let Some(connection) = &self.connection {
            return Ok(connection.clone());
        }
        if Instant::now() < self.try_after {
            return Err(None);
        }
        let connection = connect(&self.client).await.map_err(Some)?;
        self.metrics.up.set(1.0);
        self.connection = Some(connection.clone());
        Ok(connection)
    }
}

/// A batch in pieces that messages can hold.
fn pieces(batch: Batch) -> Vec<Batch> {
    let mut positions = batch.positions.chunks(limits::NOTICE_POSITIONS_MAX).into_iter();
    let mut pieces = vec![Batch {
        groups: Vec::new(),
        newest_ms: batch.newest_ms,
        newest_of: batch.newest_of,
        positions: positions.next().unwrap_or_default(),
        ..Batch::default()
    }];
    let mut room = limits::NOTICE_SNAPSHOTS_MAX;
    for Group { place, mut snapshots } in batch.groups {
        loop {
            let rest = snapshots.split_off(snapshots.len().min(room));
            room -= snapshots.len();
            let last = pieces.last_mut().expect("there is one");
            last.groups.push(Group {
                place: place.clone(),
                snapshots,
            });
            if rest.is_empty() {
                break;
            }
            pieces.push(Batch {
                positions: positions.next().unwrap_or_default(),
                ..Batch::default()
            });
            room = limits::NOTICE_SNAPSHOTS_MAX;
            snapshots = rest;
        }
    }
    pieces.extend(positions.map(|positions| Batch {
        positions,
        ..Batch::default()
    }));
    // Nothing is whole before all of it was told.
    pieces.last_mut().expect("there is one").whole = batch.whole;
    pieces
}

#[cfg(test)]
mod tests {
    use schemas::rows::WholeLevel;

    use super::*;
    use crate::{
        Position, Positions, Values,
        snapshot::{Place, Snapshot, Source},
    };

    #[test]
    fn pieces_hold_everything_and_none_too_much() {
        let group = |bucket_seconds: u32, count: usize| Group {
            place: Place {
                bucket_seconds,
                period_seconds: 60,
                resolution: 9,
                tenant: "a".into(),
                metric: "b".into(),
            },
            snapshots: (0..count as u64)
                .map(|cell| Snapshot {
                    cell,
                    source: Source {
                        partition: 0,
                        generation: 0,
                    },
                    version: 0,
                    values: Values::NONE,
                })
                .collect(),
        };
        let whole = WholeLevel {
            partition: 0,
            period_seconds: 60,
            resolution: 9,
            version: 1,
        };
        let max = limits::NOTICE_SNAPSHOTS_MAX;
        for (round, counts) in [
            vec![],
            vec![0],
            vec![max],
            vec![max + 1],
            vec![5, max, 2 * max + 3, 0, 7],
        ]
        .into_iter()
        .enumerate()
        {
            let positions: Positions = (0..round * limits::NOTICE_POSITIONS_MAX + round % 3)
                .map(|number| Position {
                    tenant: "a",
                    device: "b",
                    partition: 0,
                    version: number as u64,
                    ts_ms: 0,
                    latitude_e7: 0,
                    longitude_e7: 0,
                })
                .collect();
            let groups = counts
                .iter()
                .enumerate()
                .map(|(index, count)| group(index as u32 * 60, *count));
            let batch = Batch {
                groups: groups.collect(),
                positions: positions.clone(),
                whole: vec![whole],
                ..Batch::default()
            };
            let pieces = pieces(batch);
            let together: Positions = pieces.iter().flat_map(|piece| piece.positions.iter()).collect();
            assert_eq!(together, positions);
            let most = pieces.iter().map(|piece| piece.positions.iter().count()).max();
            assert!(most <= Some(limits::NOTICE_POSITIONS_MAX), "{round}");
            assert!(pieces.iter().all(|piece| piece.snapshot_count() <= max), "{counts:?}");
            let told_whole: Vec<usize> = pieces.iter().map(|piece| piece.whole.len()).collect();
            assert!(
                told_whole.iter().sum::<usize>() == 1 && told_whole.ends_with(&[1]),
                "at the end"
            );
            let total: usize = pieces.iter().map(Batch::snapshot_count).sum();
            assert_eq!(total, counts.iter().sum::<usize>());
        }
    }
}
