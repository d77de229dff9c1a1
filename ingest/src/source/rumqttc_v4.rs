//! MQTT 3.1.1 through rumqttc. Translates only.
//!
//! As for MQTT 5, but the broker alone decides how much it sends ahead (`max_inflight_messages` of Mosquitto), how long
//! it keeps the session, and whether retained messages come again with each subscription.

use bytes::Bytes;
use rumqttc::{
    AsyncClient, Event, EventLoop, Incoming, MqttOptions, Outgoing, Publish as WirePublish, QoS, SubscribeFilter,
    SubscribeReasonCode,
};

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

/// A broker that speaks MQTT 3.1.1.
pub struct SourceV4(Recipe);

/// A connection to it.
pub struct LinkV4 {
    client: AsyncClient,
    event_loop: EventLoop,
    lifeline: Lifeline,
}

struct AcksV4 {
    client: AsyncClient,
    lifeline: LifelineEnd,
}

impl SourceV4 {
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
        let packet_bytes_max = usize::try_from(settings.packet_bytes_max).unwrap_or(usize::MAX);
        options
            .set_transport(recipe.transport.clone())
            .set_keep_alive(settings.keep_alive)
            .set_clean_session(false)
            .set_manual_acks(true)
            .set_max_packet_size(packet_bytes_max, packet_bytes_max)
            .set_inflight(limits::OUTGOING_INFLIGHT);
        if let Some(username) = &settings.username {
            options.set_credentials(username, settings.password.clone().unwrap_or_default());
        }
        options
    }
}

impl PublishSource for SourceV4 {
    type Link = LinkV4;

    fn open(&self) -> LinkV4 {
        let (client, event_loop) = AsyncClient::new(self.options(), self.0.request_capacity);
        LinkV4 {
            client,
            event_loop,
            lifeline: Lifeline::default(),
        }
    }
}

impl Link for LinkV4 {
    fn acks(&self) -> Box<dyn AckSink> {
        Box::new(AcksV4 {
            client: self.client.clone(),
            lifeline: self.lifeline.end(),
        })
    }

    fn subscribe(&self, filters: &[Filter]) -> Result<(), SourceError> {
        let filters = filters
            .iter()
            .map(|filter| SubscribeFilter::new(filter.0.clone(), QoS::AtLeastOnce));
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
        topic: publish.topic.into(),
        payload: publish.payload,
        packet_id: publish.pkid,
        qos: match publish.qos {
            QoS::AtMostOnce => Qos::AtMostOnce,
            QoS::AtLeastOnce => Qos::AtLeastOnce,
            QoS::ExactlyOnce => Qos::ExactlyOnce,
        },
        redelivered: publish.dup,
        // This version of MQTT has no properties.
        replay: None,
    }
}

impl AckSink for AcksV4 {
    fn try_ack(&self, ack: Ack) -> Result<(), AckFailure> {
        let publish = WirePublish {
            dup: false,
            qos: match ack.qos {
                Qos::AtMostOnce => QoS::AtMostOnce,
                Qos::AtLeastOnce => QoS::AtLeastOnce,
                Qos::ExactlyOnce => QoS::ExactlyOnce,
            },
            retain: false,
            topic: String::new(),
            pkid: ack.packet_id,
            payload: Bytes::new(),
        };
        self.client.try_ack(&publish).map_err(|_| self.lifeline.failure())
    }

    fn try_disconnect(&self) -> Result<(), AckFailure> {
        self.client.try_disconnect().map_err(|_| self.lifeline.failure())
    }
}
