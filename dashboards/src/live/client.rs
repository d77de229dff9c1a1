//! One live stream: what a client has, what it gets next.
//!
//! It is asked for more only while the client reads, and makes each event at that moment from what is known then: of a
//! hexagon that changed many times meanwhile only the latest value is sent. So a slow client costs no more than a fast one.

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use platform::shutdown::Shutdown;
use tokio::{
    sync::watch::Receiver,
    time::{Instant, sleep_until},
};

use super::{
    bucket::Hexagon,
    event::{self, HEARTBEAT, Identifier, Position, Told, View},
    hub::Hub,
    places::Place,
    pulse::Pulse,
    watch::{Delta, Found, News, Stage, Watch, Whole},
};
use crate::limits;

const RESUME_FAILED: &str = "what was missed is not known any more";
const MAY_LACK: &str = "changes may be missing while the store does not answer";
const ENDED: &str = "this cannot be watched any more";

/// A client and how far it is.
pub(crate) struct Client {
    pub(crate) hub: Arc<Hub>,
    pub(crate) view: View,
    pub(crate) watch: Arc<Watch>,
    pub(crate) news: Receiver<Arc<News>>,
    pub(crate) pulse: Arc<Pulse>,
    pub(crate) shutdown: Shutdown,
    pub(crate) _place: Place,
    /// What it has.
    shown: Option<Shown>,
    /// What is sent before anything else.
    queued: Option<Bytes>,
    /// It was told that something may be missing.
    is_warned: bool,
    has_ended: bool,
    sent_at: Instant,
    may_send_at: Instant,
}

/// What a client has on its screen.
#[derive(Clone, Copy, Debug)]
struct Shown {
    position: Position,
    resolution: u8,
    /// Hexagons that it has at most.
    count: usize,
}

impl Client {
    pub(crate) fn new(
        hub: Arc<Hub>,
        view: View,
        (watch, mut news): (Arc<Watch>, Receiver<Arc<News>>),
        pulse: Arc<Pulse>,
        shutdown: Shutdown,
        place: Place,
    ) -> Self {
        // What is known now is shown at once.
        news.mark_changed();
        hub.mind(&pulse);
        hub.metrics().clients.increment(1.0);
        let now = Instant::now();
        Self {
            hub,
            view,
            watch,
            news,
            pulse,
            shutdown,
            _place: place,
            shown: None,
            queued: Some(event::opening()),
            is_warned: false,
            has_ended: false,
            sent_at: now,
            may_send_at: now,
        }
    }

    /// Goes on after the last event that the client got, if that is still known exactly.
    pub(crate) fn resume(&mut self, last: &str) {
        let resumed = self.everything().and_then(|Everything { resolution, found }| {
            let position = Identifier::read(last)?.position(self.watch.epoch, &self.view, resolution)?;
            let is_known = position.generation == found.generation && position.round <= found.round;
            is_known.then_some(Shown {
                position,
                resolution,
                count: found.hexagons.len(),
            })
        });
        if resumed.is_none() {
            self.queued = Some([event::opening(), self.gap(RESUME_FAILED)].concat().into());
        }
        self.shown = resumed;
    }

    /// The next piece of the stream; none when it has ended.
    pub(crate) async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        self.pulse.beat(self.hub.now_ms());
        if let Some(queued) = self.queued.take() {
            return Some((Ok(queued), self));
        }
        if self.has_ended {
            return None;
        }
        loop {
            let heartbeat_at = self.sent_at + limits::LIVE_HEARTBEAT;
            let has_news = tokio::select! {
                biased;
                () = self.shutdown.requested() => return None,
                changed = self.news.changed() => changed.is_ok(),
                () = sleep_until(heartbeat_at) => false,
            };
            if !has_news {
                self.sent_at = Instant::now();
                return Some((Ok(Bytes::from_static(HEARTBEAT.as_bytes())), self));
            }
            tokio::select! {
                biased;
                () = self.shutdown.requested() => return None,
                () = sleep_until(self.may_send_at) => {}
            }
            let news = self.news.borrow_and_update().clone();
            if let Some(event) = self.event(&news) {
                self.sent_at = Instant::now();
                self.may_send_at = self.sent_at + limits::LIVE_ROUND;
                return Some((Ok(event), self));
            }
        }
    }

    /// What news mean for this client.
    fn event(&mut self, news: &News) -> Option<Bytes> {
        match &news.stage {
            Stage::Loading => return None,
            Stage::Failed(_) => {
                self.has_ended = true;
                return Some(self.gap(ENDED));
            }
            Stage::Ready { .. } => {}
        }
        let Some(shown) = self.shown.filter(|shown| shown.position.generation == news.generation) else {
            return self.snapshot();
        };
        let is_exact = news.stage == (Stage::Ready { is_exact: true });
        if !is_exact && !self.is_warned {
            self.is_warned = true;
            self.news.mark_changed();
            return Some(self.gap(MAY_LACK));
        }
        self.delta(shown, news, is_exact)
    }

    fn snapshot(&mut self) -> Option<Bytes> {
        let view = self.view.fingerprint(self.view.resolution);
        let whole = match self.watch.whole(view) {
            Some(whole) => whole,
            None => {
                let Everything { resolution, found } = self.everything()?;
                let whole = Whole {
                    generation: found.generation,
                    round: found.round,
                    resolution,
                    is_exact: found.is_exact,
                    count: found.hexagons.len(),
                    event: self.told(resolution, &found, "snapshot"),
                };
                self.watch.share(view, whole.clone());
                whole
            }
        };
        let position = Position {
            generation: whole.generation,
            round: whole.round,
        };
        self.shown = Some(Shown {
            position,
            resolution: whole.resolution,
            count: whole.count,
        });
        // One that is not exact says so itself.
        self.is_warned = !whole.is_exact;
        self.hub.metrics().snapshots.increment(1);
        Some(whole.event)
    }

    fn delta(&mut self, shown: Shown, news: &News, is_exact: bool) -> Option<Bytes> {
        let Shown {
            position, resolution, ..
        } = shown;
        if position.round >= news.round {
            return None;
        }
        let of_round = news
            .changes
            .get(&resolution)
            .filter(|_| position.round + 1 == news.round);
        let (after, delta) = match of_round {
            // Those who keep up and look at the same share it.
            Some(changes) => {
                let make = || {
                    let hexagons = changes.iter().filter(|hexagon| self.view.holds(hexagon)).copied();
                    let found = Found {
                        generation: news.generation,
                        round: news.round,
                        bucket: news.bucket,
                        is_exact,
                        newest_ms: news.newest_ms,
                        hexagons: hexagons.collect(),
                    };
                    self.changed(position, resolution, &found)
                };
                let after = Position {
                    generation: news.generation,
                    round: news.round,
                };
                (after, news.delta(self.view.fingerprint(resolution), make))
            }
            None => {
                let is_in = |hexagon: &Hexagon| self.view.holds(hexagon);
                let found = self.watch.find(resolution, Some(position.round), is_in)?;
                if found.generation != position.generation {
                    return self.snapshot();
                }
                (found.position(), self.changed(position, resolution, &found))
            }
        };
        let count = shown.count + delta.new_count;
        if count > limits::HEXAGONS_MAX as usize {
            return self.snapshot();
        }
        self.shown = Some(Shown {
            position: after,
            resolution,
            count,
        });
        if delta.event.is_some() {
            self.hub.metrics().deltas.increment(1);
        }
        delta.event
    }

    /// What has changed after a position.
    fn changed(&self, before: Position, resolution: u8, found: &Found) -> Delta {
        let is_new = |hexagon: &&Hexagon| hexagon.first_round > before.round;
        let event = || self.told(resolution, found, "delta");
        Delta {
            event: (!found.hexagons.is_empty()).then(event),
            new_count: found.hexagons.iter().filter(is_new).count(),
        }
    }

    fn told(&self, resolution: u8, found: &Found, name: &str) -> Bytes {
        let told = Told {
            view: &self.view,
            resolution,
            bucket: found.bucket,
            reach: self.hub.reach(&self.view, found.newest_ms),
            is_exact: found.is_exact,
            now_ms: self.hub.wall_ms(),
        };
        let identifier = Identifier::new(self.watch.epoch, &self.view, resolution, found.position());
        told.event(name, identifier, &found.hexagons)
    }

    fn gap(&self, reason: &'static str) -> Bytes {
        self.hub.metrics().gaps.increment(1);
        event::gap(reason)
    }

    /// All hexagons in view, at the finest resolution at which there are not too many.
    fn everything(&self) -> Option<Everything> {
        let mut resolution = self.view.resolution;
        loop {
            let found = self.watch.find(resolution, None, |hexagon| self.view.holds(hexagon))?;
            if found.hexagons.len() <= limits::HEXAGONS_MAX as usize || resolution == 0 {
                return Some(Everything { resolution, found });
            }
            resolution -= 1;
        }
    }
}

struct Everything {
    resolution: u8,
    found: Found,
}

impl Found {
    fn position(&self) -> Position {
        Position {
            generation: self.generation,
            round: self.round,
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.hub.metrics().clients.decrement(1.0);
    }
}
