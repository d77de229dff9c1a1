//! Publishes dead letters at the front door again: over a connection of its own, at QoS 1, under the properties that
//! name the letter. Here and not in the command, so that what is written and what [`crate::source`] reads stay together.
//!
//! Never calls a letter acknowledged that the broker did not acknowledge, and never publishes one twice by itself.

use std::{collections::VecDeque, time::Duration};

use rumqttc::{self as v4, v5};
use schemas::Replay;
use tokio::time::{Instant, timeout, timeout_at};

use crate::{
    config::{BrokerSettings, Protocol},
    limits,
    source::{Recipe, SetupError},
};

/// A letter to be published again.
#[derive(Clone, Debug)]
pub struct Letter {
    /// MQTT topic that it was published to.
    pub topic: String,
    /// The bytes as they were received.
    pub payload: Vec<u8>,
    /// Which letter it is.
    pub replay: Replay<'static>,
}

/// What became of a letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The broker has taken it.
    Acknowledged,
    /// The broker has not taken it, and says why.
    Refused(String),
    /// Nothing was heard of it: it may have been taken or not.
    Unknown(String),
}

/// Publishes letters, in order, and says what became of each. Without properties (MQTT 3.1.1) a letter is a message like
/// any other.
///
/// # Errors
/// When the address or the TLS files of the broker cannot be used.
pub async fn publish(
    broker: &BrokerSettings,
    client_id: &str,
    letters: Vec<Letter>,
) -> Result<Vec<Outcome>, SetupError> {
    let recipe = Recipe::new(broker, client_id.to_owned(), letters.len())?;
    let mut progress = Progress {
        outcomes: vec![None; letters.len()],
        unsent: VecDeque::new(),
        waiting: Vec::new(),
    };
    let mut connection = match broker.protocol {
        Protocol::V5 => Connection::open_v5(&recipe),
        Protocol::V311 => Connection::open_v4(&recipe),
    };
    for (index, letter) in letters.into_iter().enumerate() {
        match connection.queue(letter) {
            Ok(()) => progress.unsent.push_back(index),
            Err(reason) => progress.outcomes[index] = Some(Outcome::Refused(reason)),
        }
    }
    let ended = progress.follow(&mut connection).await;
    connection.close().await;
    let reason = ended.err().unwrap_or_default();
    let outcomes = progress.outcomes.into_iter();
    Ok(outcomes
        .map(|outcome| outcome.unwrap_or_else(|| Outcome::Unknown(reason.clone())))
        .collect())
}

/// Which letter is where.
struct Progress {
    outcomes: Vec<Option<Outcome>>,
    /// Handed to the client, which sends in order.
    unsent: VecDeque<usize>,
    /// By packet identifier.
    waiting: Vec<(u16, usize)>,
}

impl Progress {
    async fn follow(&mut self, connection: &mut Connection) -> Result<(), String> {
        let mut deadline = Instant::now() + limits::REPLAY_ACK_MAX;
        while !(self.unsent.is_empty() && self.waiting.is_empty()) {
            let heard = timeout_at(deadline, connection.next()).await;
            match heard.map_err(|_elapsed| silent(limits::REPLAY_ACK_MAX))?? {
                Heard::Sent(packet_id) => {
                    if let Some(index) = self.unsent.pop_front() {
                        self.waiting.push((packet_id, index));
                    }
                }
                Heard::Answered(packet_id, outcome) => {
                    deadline = Instant::now() + limits::REPLAY_ACK_MAX;
                    if let Some(at) = self.waiting.iter().position(|(known, _)| *known == packet_id) {
                        let (_, index) = self.waiting.swap_remove(at);
                        self.outcomes[index] = Some(outcome);
                    }
                }
                Heard::Other => {}
            }
        }
        Ok(())
    }
}

fn silent(patience: Duration) -> String {
    format!("the broker acknowledged nothing for {} s", patience.as_secs())
}

/// What happens on the connection.
enum Heard {
    Sent(u16),
    Answered(u16, Outcome),
    Other,
}

/// A connection in either version.
enum Connection {
    V5(v5::AsyncClient, Box<v5::EventLoop>),
    V4(v4::AsyncClient, Box<v4::EventLoop>),
}

impl Connection {
    fn open_v5(recipe: &Recipe) -> Self {
        let settings = &recipe.settings;
        let mut options = v5::MqttOptions::new(&recipe.client_id, &recipe.address.host, recipe.address.port);
        options
            .set_transport(recipe.transport.clone())
            .set_keep_alive(settings.keep_alive)
            .set_clean_start(true)
            .set_outgoing_inflight_upper_limit(limits::REPLAY_INFLIGHT);
        if let Some(username) = &settings.username {
            options.set_credentials(username, settings.password.clone().unwrap_or_default());
        }
        let (client, event_loop) = v5::AsyncClient::new(options, recipe.request_capacity);
        Self::V5(client, Box::new(event_loop))
    }

    fn open_v4(recipe: &Recipe) -> Self {
        let settings = &recipe.settings;
        let mut options = v4::MqttOptions::new(&recipe.client_id, &recipe.address.host, recipe.address.port);
        let bytes_max = settings.packet_bytes_max as usize;
        options
            .set_transport(recipe.transport.clone())
            .set_keep_alive(settings.keep_alive)
            .set_clean_session(true)
            .set_max_packet_size(bytes_max, bytes_max)
            .set_inflight(limits::REPLAY_INFLIGHT);
        if let Some(username) = &settings.username {
            options.set_credentials(username, settings.password.clone().unwrap_or_default());
        }
        let (client, event_loop) = v4::AsyncClient::new(options, recipe.request_capacity);
        Self::V4(client, Box::new(event_loop))
    }

    /// Hands a letter to the client, whose queue has room for all.
    fn queue(&self, letter: Letter) -> Result<(), String> {
        let Letter { topic, payload, replay } = letter;
        match self {
            Self::V5(client, _) => {
                let user_properties = replay.properties().map(|(name, value)| (name.to_owned(), value));
                let properties = v5::mqttbytes::v5::PublishProperties {
                    user_properties: user_properties.into(),
                    ..Default::default()
                };
                let qos = v5::mqttbytes::QoS::AtLeastOnce;
                client
                    .try_publish_with_properties(topic, qos, false, payload, properties)
                    .map_err(|error| error.to_string())
            }
            Self::V4(client, _) => client
                .try_publish(topic, v4::QoS::AtLeastOnce, false, payload)
                .map_err(|error| error.to_string()),
        }
    }

    async fn next(&mut self) -> Result<Heard, String> {
        match self {
            Self::V5(_, event_loop) => {
                let event = event_loop.poll().await.map_err(|error| error.to_string())?;
                Ok(match event {
                    v5::Event::Outgoing(v4::Outgoing::Publish(packet_id)) => Heard::Sent(packet_id),
                    v5::Event::Incoming(v5::Incoming::PubAck(answer)) => {
                        Heard::Answered(answer.pkid, judge(answer.reason))
                    }
                    _ => Heard::Other,
                })
            }
            Self::V4(_, event_loop) => {
                let event = event_loop.poll().await.map_err(|error| error.to_string())?;
                Ok(match event {
                    v4::Event::Outgoing(v4::Outgoing::Publish(packet_id)) => Heard::Sent(packet_id),
                    v4::Event::Incoming(v4::Incoming::PubAck(answer)) => {
                        Heard::Answered(answer.pkid, Outcome::Acknowledged)
                    }
                    _ => Heard::Other,
                })
            }
        }
    }

    /// Says goodbye, if anybody still listens.
    async fn close(mut self) {
        let asked = match &self {
            Self::V5(client, _) => client.try_disconnect().is_ok(),
            Self::V4(client, _) => client.try_disconnect().is_ok(),
        };
        let closed = async { while self.next().await.is_ok() {} };
        if asked {
            let _ = timeout(limits::DISCONNECT_MAX, closed).await;
        }
    }
}

/// A message that nobody is subscribed to is acknowledged and gone, so that it counts as not taken.
fn judge(reason: v5::mqttbytes::v5::PubAckReason) -> Outcome {
    use v5::mqttbytes::v5::PubAckReason;
    match reason {
        PubAckReason::Success => Outcome::Acknowledged,
        PubAckReason::NoMatchingSubscribers => {
            Outcome::Refused("nobody is subscribed to its topic: is ingest set up for this broker?".to_owned())
        }
        other => Outcome::Refused(format!("the broker refuses it: {other:?}")),
    }
}
