//! The side that watches: one task hears the channel of changes, and knows when it may have missed some.
//!
//! Redis keeps nothing for who was away. So every beginning is told as lost; a number that is left out in what a publisher
//! sends is lost; and so is whatever a publisher that fell silent may still have had. A word to itself tells a dead
//! connection from a quiet one.

use std::{collections::HashMap, sync::Arc};

use futures::StreamExt;
use redis::{
    Client, RedisError,
    aio::{MultiplexedConnection, PubSub},
};
use tokio::{
    sync::broadcast,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};

use super::{
    connect,
    wire::{self, CHANGES, Message},
};
use crate::{Notice, limits, metrics::CacheMetrics};

/// What is known of publishers. Pure: time is an argument.
#[derive(Default)]
struct Publishers {
    known: HashMap<u64, (u64, Instant)>,
}

impl Publishers {
    /// Takes note of a message. True when some before it were missed, or may have been.
    fn has_missed(&mut self, message: &Message, now: Instant) -> bool {
        let before = message.sequence - u64::from(message.batch.is_some() && message.sequence > 0);
        let known = self.known.insert(message.publisher, (message.sequence, now));
        known.map_or(0, |(sequence, _)| sequence) != before
    }

    /// Forgets those who fell silent. True when there were some.
    fn has_lost(&mut self, now: Instant) -> bool {
        let count = self.known.len();
        self.known
            .retain(|_, (_, heard_at)| now - *heard_at <= limits::PUBLISHER_SILENT_MAX);
        self.known.len() < count
    }
}

/// Hears the channel until nobody listens to `notices` any more.
pub(super) async fn listen(client: Client, notices: broadcast::Sender<Notice>, metrics: CacheMetrics) {
    let mut was_told = false;
    while notices.receiver_count() > 0 {
        let ended = match timeout(limits::CONNECT_MAX * 2, subscribe(&client)).await {
            Ok(Ok(subscription)) => {
                metrics.up.set(1.0);
                was_told = false;
                hear(subscription, &notices, &metrics).await
            }
            Ok(Err(error)) => error.to_string(),
            Err(_elapsed) => "no answer".to_owned(),
        };
        if !was_told {
            was_told = true;
            metrics.up.set(0.0);
            tracing::warn!(
                error = ended,
                "the shared cache is away: live maps read ClickHouse meanwhile"
            );
            let _ = notices.send(Notice::Gone);
        }
        sleep(limits::RETRY_PAUSE).await;
    }
}

struct Subscription {
    changes: PubSub,
    echo: MultiplexedConnection,
    echo_channel: String,
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

/// Hears changes until the connection breaks; says why.
async fn hear(subscription: Subscription, notices: &broadcast::Sender<Notice>, metrics: &CacheMetrics) -> String {
    let Subscription {
        mut changes,
        mut echo,
        echo_channel,
    } = subscription;
    let lost = || {
        metrics.lost.increment(1);
        let _ = notices.send(Notice::Lost);
    };
    let mut publishers = Publishers::default();
    let mut heard_at = Instant::now();
    let mut rounds = interval(limits::ECHO_INTERVAL);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut messages = changes.on_message();
    lost();
    loop {
        tokio::select! {
            message = messages.next() => {
                let Some(message) = message else {
                    return "the connection has ended".to_owned();
                };
                heard_at = Instant::now();
                if message.get_channel_name() == echo_channel {
                    continue;
                }
                let Some(message) = Message::read(message.get_payload_bytes()) else {
                    tracing::warn!("somebody else writes to the channel `{CHANGES}` of the shared cache");
                    continue;
                };
                let has_missed = publishers.has_missed(&message, heard_at);
                if let Some(batch) = message.batch {
                    let _ = notices.send(Notice::Changed(Arc::new(batch)));
                }
                if has_missed {
                    lost();
                }
            }
            _ = rounds.tick() => {
                let now = Instant::now();
                if notices.receiver_count() == 0 {
                    return "nobody watches".to_owned();
                }
                if now - heard_at > limits::ECHO_MAX {
                    return "the connection is dead".to_owned();
                }
                if publishers.has_lost(now) {
                    lost();
                }
                let mut word = redis::cmd("PUBLISH");
                word.arg(&echo_channel).arg(b"");
                if let Err(error) = word.query_async::<()>(&mut echo).await {
                    return error.to_string();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Batch;

    fn message(publisher: u64, sequence: u64, is_heartbeat: bool) -> Message {
        Message {
            publisher,
            sequence,
            batch: (!is_heartbeat).then(Batch::default),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_out_is_noticed_by_its_number_and_by_silence() {
        let mut publishers = Publishers::default();
        let now = Instant::now();
        // From its beginning on.
        assert!(!publishers.has_missed(&message(1, 1, false), now));
        assert!(!publishers.has_missed(&message(1, 2, false), now));
        assert!(!publishers.has_missed(&message(1, 2, true), now));
        // Number 3 was dropped: the next message tells, or the next heartbeat.
        assert!(publishers.has_missed(&message(1, 4, false), now));
        assert!(publishers.has_missed(&message(1, 5, true), now));
        assert!(!publishers.has_missed(&message(1, 6, false), now));
        // One that was there before us may have told something meanwhile.
        assert!(publishers.has_missed(&message(2, 7, true), now));
        assert!(!publishers.has_missed(&message(2, 8, false), now));
        assert!(!publishers.has_lost(now + limits::PUBLISHER_SILENT_MAX));
        assert!(publishers.has_lost(now + limits::PUBLISHER_SILENT_MAX * 2));
        assert!(
            !publishers.has_lost(now + limits::PUBLISHER_SILENT_MAX * 3),
            "told once"
        );
    }
}
