//! The side that watches: one task hears the channel of changes, and knows when it may have missed some.
//!
//! Redis keeps nothing for who was away. So every beginning is told as lost, and so is a number that is left out in what a
//! publisher sends. While a publisher is missed, or none is heard, the cache counts as gone. A word to itself tells a dead
//! connection from a quiet one.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use futures::StreamExt;
use redis::{
    Client, Msg, RedisError,
    aio::{MultiplexedConnection, PubSub},
};
use tokio::{
    sync::broadcast,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};

use super::{
    connect,
    publishers::Publishers,
    wire::{self, CHANGES, Message},
};
use crate::{Notice, limits, metrics::CacheMetrics};

/// Hears the channel for those who watch.
pub(super) struct Listener {
    notices: broadcast::Sender<Notice>,
    /// What was told last: nothing yet, or [`Notice::Gone`].
    is_gone: Arc<AtomicBool>,
    /// They outlive connections: who is missed is missed over the next one, too.
    publishers: Publishers,
    metrics: CacheMetrics,
}

struct Subscription {
    changes: PubSub,
    echo: MultiplexedConnection,
    echo_channel: String,
}

impl Listener {
    /// `is_gone` is true, since nothing is heard yet.
    pub(super) fn new(notices: broadcast::Sender<Notice>, is_gone: Arc<AtomicBool>, metrics: CacheMetrics) -> Self {
        Self {
            notices,
            is_gone,
            publishers: Publishers::default(),
            metrics,
        }
    }

    /// Hears the channel until nobody listens to the notices any more.
    pub(super) async fn listen(mut self, client: Client) {
        let mut is_away = false;
        while self.notices.receiver_count() > 0 {
            let ended = match timeout(limits::CONNECT_MAX * 2, subscribe(&client)).await {
                Ok(Ok(subscription)) => {
                    self.metrics.up.set(1.0);
                    is_away = false;
                    self.hear(subscription).await
                }
                Ok(Err(error)) => error.to_string(),
                Err(_elapsed) => "no answer".to_owned(),
            };
            self.publishers.miss_all();
            if !is_away {
                is_away = true;
                self.metrics.up.set(0.0);
                tracing::warn!(
                    error = ended,
                    "the shared cache is away: live maps read ClickHouse meanwhile"
                );
                self.tell_gone();
            }
            sleep(limits::RETRY_PAUSE).await;
        }
    }

    /// Hears changes until the connection breaks; says why.
    async fn hear(&mut self, subscription: Subscription) -> String {
        let Subscription {
            mut changes,
            mut echo,
            echo_channel,
        } = subscription;
        let mut heard_at = Instant::now();
        let mut rounds = interval(limits::ECHO_INTERVAL);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut messages = changes.on_message();
        loop {
            tokio::select! {
                message = messages.next() => {
                    let Some(message) = message else {
                        return "the connection has ended".to_owned();
                    };
                    heard_at = Instant::now();
                    if message.get_channel_name() != echo_channel {
                        self.take(&message, heard_at);
                    }
                }
                _ = rounds.tick() => {
                    let now = Instant::now();
                    if self.notices.receiver_count() == 0 {
                        return "nobody watches".to_owned();
                    }
                    if now - heard_at > limits::ECHO_MAX {
                        return "the connection is dead".to_owned();
                    }
                    let has_missed = self.publishers.check(now);
                    self.tell_state(has_missed);
                    let mut word = redis::cmd("PUBLISH");
                    word.arg(&echo_channel).arg(b"");
                    if let Err(error) = word.query_async::<()>(&mut echo).await {
                        return error.to_string();
                    }
                }
            }
        }
    }

    fn take(&mut self, message: &Msg, now: Instant) {
        let Some(message) = Message::read(message.get_payload_bytes()) else {
            tracing::warn!("somebody else writes to the channel `{CHANGES}` of the shared cache");
            return;
        };
        let has_missed = self.publishers.hear(&message, now);
        // Also while others are missed: it shows what is new before the next reading does.
        if let Some(batch) = message.batch {
            let _ = self.notices.send(Notice::Changed(Arc::new(batch)));
        }
        self.tell_state(has_missed);
    }

    /// Tells whether everything is heard, where that is another answer than before, and what was missed meanwhile.
    fn tell_state(&self, has_missed: bool) {
        let was_gone = self.is_gone.load(Ordering::Acquire);
        match (was_gone, self.publishers.are_complete()) {
            (true, true) => {
                tracing::info!("all who tell of changes over the shared cache are heard");
                self.tell_lost();
            }
            (false, true) if has_missed => self.tell_lost(),
            (false, false) if self.publishers.are_none() => {
                tracing::info!("no processor tells of changes any more: live maps read ClickHouse until one does");
                self.tell_gone();
            }
            (false, false) => {
                tracing::warn!(
                    "a processor does not tell of changes any more: live maps read ClickHouse until it is heard, or others \
                     have its partitions; see whether it reaches `[cache] redis_url`"
                );
                self.tell_gone();
            }
            (true, false) | (false, true) => {}
        }
    }

    fn tell_lost(&self) {
        self.metrics.lost.increment(1);
        self.is_gone.store(false, Ordering::Release);
        let _ = self.notices.send(Notice::Lost);
    }

    fn tell_gone(&self) {
        self.is_gone.store(true, Ordering::Release);
        let _ = self.notices.send(Notice::Gone);
    }
}

async fn subscribe(client: &Client) -> Result<Subscription, RedisError> {
    let echo = connect(client).await?;
    let echo_channel = wire::echo_channel(rand::random());
    let mut changes = client.get_async_pubsub().await?;
    changes.subscribe(&[CHANGES, &echo_channel]).await?;
    Ok(Subscription {
        changes,
        echo,
        echo_channel,
    })
}
