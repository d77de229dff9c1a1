//! MQTT 5 through rumqttc. Translates only.
//!
//! Manual acknowledgements; a persistent session under a stable client id; no topic aliases (the client hands out the
//! event before it resolves them); TCP_NODELAY off (each acknowledgement is written alone, and the kernel gathers them).

use bytes::Bytes;
use rumqttc::Outgoing;
use rumqttc::v5::{
    AsyncClient, Event, EventLoop, Incoming, MqttOptions,
    mqttbytes::{
        QoS,
        v5::{
            ConnectProperties, Filter as WireFilter, Publish as WirePublish, PublishProperties, RetainForwardRule,
            SubscribeReasonCode,
        },
    },
};

use schemas::Replay;

use super::{
    Link, PublishSource, Recipe, SetupError, SourceError, SourceEvent,
    lifeline::{Lifeline, LifelineEnd},
    refused,
};
use crate::{
    config::{BrokerSettings, Filter},
    limits,
    message::{Ack, AckFailure, AckSink, Publish, Qos},
};

/// A broker that speaks MQTT 5.
pub struct SourceV5(Recipe);

/// A connection to it.
pub struct LinkV5 {
    client: AsyncClient,
    event_loop: EventLoop,
    lifeline: Lifeline,
}

struct AcksV5 {
    client: AsyncClient,
    lifeline: LifelineEnd,
}

impl SourceV5 {
    /// A source under this client id.
    ///
    /// # Errors
    /// When address or TLS files are unusable.
    pub fn new(
        settings: &BrokerSettings,
        client_id: String,
        window_messages_hard_max: usize,
    ) -> Result<Self, SetupError> {
        Recipe::new(settings, client_id, window_messages_hard_max).map(Self)
    }

    fn options(&self) -> MqttOptions {
        let recipe = &self.0;
        let settings = &recipe.settings;
        let mut options = MqttOptions::new(&recipe.client_id, &recipe.address.host, recipe.address.port);
        let expiry = settings
            .session_expiry
            .map_or(u32::MAX, |expiry| u32::try_from(expiry.as_secs()).unwrap_or(u32::MAX));
        options
            .set_transport(recipe.transport.clone())
            .set_keep_alive(settings.keep_alive)
            .set_clean_start(false)
            .set_manual_acks(true)
            .set_connect_properties(ConnectProperties {
                session_expiry_interval: Some(expiry),
                receive_maximum: Some(settings.receive_maximum),
                max_packet_size: Some(settings.packet_bytes_max),
                ..ConnectProperties::new()
            })
            .set_outgoing_inflight_upper_limit(limits::OUTGOING_INFLIGHT);
        if let Some(username) = &settings.username {
            options.set_credentials(username, settings.password.clone().unwrap_or_default());
        }
        options
    }
}

impl PublishSource for SourceV5 {
    type Link = LinkV5;

    fn open(&self) -> LinkV5 {
        let (client, event_loop) = AsyncClient::new(self.options(), self.0.request_capacity);
        LinkV5 {
            client,
            event_loop,
            lifeline: Lifeline::default(),
        }
    }
}

impl Link for LinkV5 {
    fn acks(&self) -> Box<dyn AckSink> {
        Box::new(AcksV5 {
            client: self.client.clone(),
            lifeline: self.lifeline.end(),
        })
    }

    fn subscribe(&self, filters: &[Filter]) -> Result<(), SourceError> {
        let filters: Vec<WireFilter> = filters
            .iter()
            .map(|filter| {
                let mut wire = WireFilter::new(&filter.0, QoS::AtLeastOnce);
                // Retained messages come once per session, not at every reconnection.
                wire.retain_forward_rule = RetainForwardRule::OnNewSubscribe;
                wire
            })
            .collect();
        let subscribed = self.client.try_subscribe_many(filters);
        subscribed.map_err(|error| SourceError::new(error.to_string()))
    }

    async fn next(&mut self) -> Result<SourceEvent, SourceError> {
        match self.event_loop.poll().await {
            Ok(Event::Incoming(Incoming::Publish(publish))) => Ok(SourceEvent::Publish(translate(publish))),
            Ok(Event::Incoming(Incoming::ConnAck(greeting))) => Ok(SourceEvent::Connected {
                session_present: greeting.session_present,
            }),
            Ok(Event::Incoming(Incoming::SubAck(answer))) => check_granted(&answer.return_codes),
            Ok(Event::Outgoing(Outgoing::Disconnect)) => Ok(SourceEvent::Disconnecting),
            Ok(_) => Ok(SourceEvent::Other),
            Err(error) => Err(SourceError::new(error.to_string())),
        }
    }

    fn has_more(&self) -> bool {
        !self.event_loop.state.events.is_empty()
    }

    fn leftovers(&mut self) -> Vec<Publish> {
        let events = self.event_loop.state.events.drain(..);
        events
            .filter_map(|event| match event {
                Event::Incoming(Incoming::Publish(publish)) if publish.qos == QoS::AtMostOnce => {
                    Some(translate(publish))
                }
                _ => None,
            })
            .collect()
    }
}

fn check_granted(granted: &[SubscribeReasonCode]) -> Result<SourceEvent, SourceError> {
    for code in granted {
        match code {
            SubscribeReasonCode::Success(QoS::AtLeastOnce | QoS::ExactlyOnce) => {}
            other => return Err(refused(granted.len(), &format!("{other:?}"))),
        }
    }
    Ok(SourceEvent::Subscribed)
}

fn translate(publish: WirePublish) -> Publish {
    Publish {
        topic: publish.topic,
        payload: publish.payload,
        packet_id: publish.pkid,
        qos: match publish.qos {
            QoS::AtMostOnce => Qos::AtMostOnce,
            QoS::AtLeastOnce => Qos::AtLeastOnce,
            QoS::ExactlyOnce => Qos::ExactlyOnce,
        },
        redelivered: publish.dup,
        replay: publish.properties.as_ref().and_then(replay_of),
    }
}

/// Nearly all messages have no property at all.
fn replay_of(properties: &PublishProperties) -> Option<Box<Replay<'static>>> {
    let find = |name: &str| {
        let found = properties.user_properties.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    };
    let replay = Replay::from_properties(find)?;
    Some(Box::new(replay.into_owned()))
}

impl AckSink for AcksV5 {
    fn try_ack(&self, ack: Ack) -> Result<(), AckFailure> {
        let publish = WirePublish {
            dup: false,
            qos: match ack.qos {
                Qos::AtMostOnce => QoS::AtMostOnce,
                Qos::AtLeastOnce => QoS::AtLeastOnce,
                Qos::ExactlyOnce => QoS::ExactlyOnce,
            },
            retain: false,
            topic: Bytes::new(),
            pkid: ack.packet_id,
            payload: Bytes::new(),
            properties: None,
        };
        self.client.try_ack(&publish).map_err(|_| self.lifeline.failure())
    }

    fn try_disconnect(&self) -> Result<(), AckFailure> {
        self.client.try_disconnect().map_err(|_| self.lifeline.failure())
    }
}
