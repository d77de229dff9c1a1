//! What MQTT asks for beside delivery: one small example each.

use std::{
    collections::VecDeque,
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Waker},
};

use bytes::{Bytes, BytesMut};
use rumqttc::v5::mqttbytes::v5::{self, Packet as Told};
use tokio::sync::Notify;

use super::{Broker, Ended, Flow, Handle, Hello, Now, StoreLimits};
use crate::{
    limits,
    mqtt::{
        StandingSession,
        codec::{
            Connect, Filter, Packet, Publish, Qos, RetainHandling, Step, Subscribe, SubscriptionOptions, Version, Will,
            reason,
        },
        journal::Recovery,
    },
};

struct Bench {
    broker: Broker,
    now: Now,
}

fn connect(client_id: &str, session_expiry_s: u32) -> Connect {
    Connect {
        client_id: client_id.to_owned(),
        clean_start: false,
        keep_alive_s: 0,
        session_expiry_s,
        receive_maximum: None,
        packet_bytes_max: None,
        will: None,
    }
}

fn message(topic: &'static str, payload: &'static str, qos: Qos) -> Publish {
    Publish {
        qos,
        packet_id: u16::from(qos != Qos::AtMostOnce),
        topic: Bytes::from_static(topic.as_bytes()),
        payload: Bytes::from_static(payload.as_bytes()),
        ..Publish::default()
    }
}

impl Bench {
    fn new() -> Self {
        let limits = StoreLimits {
            stored_bytes_max: 1 << 30,
            packet_bytes_max: 1 << 20,
            segment_bytes: 1 << 20,
        };
        let now = Now {
            monotonic_ms: 0,
            unix_ms: 1_000_000,
        };
        Self {
            broker: Broker::new(Recovery::default(), &[], limits, now),
            now,
        }
    }

    fn wait_s(&mut self, seconds: u64) {
        self.now.monotonic_ms += seconds * 1000;
        self.now.unix_ms += seconds * 1000;
        self.broker.tick(self.now);
    }

    fn join(&mut self, connect: Connect) -> Handle {
        let hello = Hello {
            version: Version::V5,
            connect,
            fresh_client_id: "fresh".to_owned(),
            bell: Arc::new(Notify::new()),
        };
        let handle = self.broker.connect(hello, self.now).unwrap();
        assert!(matches!(self.told(handle)[..], [Told::ConnAck(_)]));
        handle
    }

    fn try_say(&mut self, handle: Handle, packet: Packet) -> Result<Flow, Ended> {
        self.broker.receive(handle, &mut VecDeque::from([packet]), self.now)
    }

    fn say(&mut self, handle: Handle, packet: Packet) {
        assert_eq!(self.try_say(handle, packet), Ok(Flow::Open));
    }

    fn subscribe(&mut self, handle: Handle, path: &str, options: SubscriptionOptions) -> Vec<Told> {
        let filter = Filter {
            path: path.to_owned(),
            options,
            retain_handling: RetainHandling::OnlyIfNew,
        };
        let filters = vec![filter];
        self.say(handle, Packet::Subscribe(Subscribe { packet_id: 1, filters }));
        self.told(handle)
    }

    /// What a client is told once everything is safe.
    fn told(&mut self, handle: Handle) -> Vec<Told> {
        let batch = self.broker.take_batch();
        self.broker.committed(batch, 0);
        let (mut output, mut told) = (BytesMut::new(), Vec::new());
        self.broker.fill(handle, &mut output, self.now).unwrap();
        while !output.is_empty() {
            told.push(Told::read(&mut output, Some(1 << 20)).unwrap());
        }
        told
    }

    fn messages(&mut self, handle: Handle) -> Vec<v5::Publish> {
        let told = self.told(handle).into_iter();
        let messages = told.filter_map(|packet| match packet {
            Told::Publish(publish) => Some(publish),
            _ => None,
        });
        messages.collect()
    }
}

fn options(qos: Qos) -> SubscriptionOptions {
    SubscriptionOptions {
        qos,
        ..SubscriptionOptions::default()
    }
}

fn payloads(messages: &[v5::Publish]) -> Vec<&[u8]> {
    messages.iter().map(|message| &message.payload[..]).collect()
}

#[test]
fn a_message_goes_out_with_the_lower_quality_of_both_sides_and_once() {
    let mut bench = Bench::new();
    let publisher = bench.join(connect("publisher", 0));
    let all = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce];
    for (index, subscribed) in all.into_iter().enumerate() {
        let subscriber = bench.join(connect(["a", "b", "c"][index], 60));
        bench.subscribe(subscriber, "t", options(subscribed));
        // A second filter that matches does not make a second message.
        bench.subscribe(subscriber, "#", options(Qos::AtMostOnce));
        for (published, packet_id) in all.into_iter().zip(1..) {
            let packet_id = if published == Qos::AtMostOnce { 0 } else { packet_id };
            let publish = Publish {
                packet_id,
                ..message("t", "x", published)
            };
            bench.say(publisher, Packet::Publish(publish));
            bench.say(
                publisher,
                Packet::Acknowledgement {
                    step: Step::PubRel,
                    packet_id: 3,
                    reason: 0,
                },
            );
            let received = bench.messages(subscriber);
            let qos: Vec<u8> = received.iter().map(|message| message.qos as u8).collect();
            assert_eq!(qos, [subscribed.min(published) as u8]);
        }
    }
}

#[test]
fn a_publisher_learns_that_nobody_listens() {
    let mut bench = Bench::new();
    let publisher = bench.join(connect("publisher", 0));
    bench.say(publisher, Packet::Publish(message("t", "x", Qos::AtLeastOnce)));
    let told = bench.told(publisher);
    let [Told::PubAck(ack)] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!(ack.reason, v5::PubAckReason::NoMatchingSubscribers);
}

#[test]
fn own_messages_and_retain_flags_go_as_the_subscription_says() {
    let mut bench = Bench::new();
    let client = bench.join(connect("client", 0));
    let no_local = SubscriptionOptions {
        no_local: true,
        ..options(Qos::AtLeastOnce)
    };
    bench.subscribe(client, "a", no_local);
    bench.say(client, Packet::Publish(message("a", "own", Qos::AtMostOnce)));
    assert!(bench.messages(client).is_empty());
    for retain_as_published in [false, true] {
        let options = SubscriptionOptions {
            retain_as_published,
            ..options(Qos::AtMostOnce)
        };
        bench.subscribe(client, "b", options);
        let publish = Publish {
            retain: true,
            ..message("b", "x", Qos::AtMostOnce)
        };
        bench.say(client, Packet::Publish(publish));
        assert_eq!(bench.messages(client)[0].retain, retain_as_published);
    }
}

#[test]
fn retained_messages_greet_new_subscriptions_until_they_are_cleared_or_expire() {
    let mut bench = Bench::new();
    let publisher = bench.join(connect("publisher", 0));
    for (topic, expiry_s) in [("s/a", None), ("s/b", Some(5)), ("other", None)] {
        let publish = Publish {
            retain: true,
            expiry_s,
            ..message(topic, "kept", Qos::AtLeastOnce)
        };
        bench.say(publisher, Packet::Publish(publish));
    }
    let greeted = |bench: &mut Bench, name: &str| {
        let subscriber = bench.join(connect(name, 0));
        let told = bench.subscribe(subscriber, "s/#", options(Qos::AtLeastOnce));
        let topics = told.iter().filter_map(|packet| match packet {
            Told::Publish(publish) => {
                assert!(publish.retain && publish.qos as u8 == 1);
                Some(publish.topic.to_vec())
            }
            _ => None,
        });
        let topics: Vec<Vec<u8>> = topics.collect();
        assert!(
            bench.subscribe(subscriber, "s/#", options(Qos::AtLeastOnce)).len() == 1,
            "not new any more"
        );
        topics
    };
    assert_eq!(greeted(&mut bench, "first"), [b"s/a", b"s/b"]);
    bench.wait_s(6);
    assert_eq!(greeted(&mut bench, "second"), [b"s/a"]);
    let clear = Publish {
        retain: true,
        ..message("s/a", "", Qos::AtMostOnce)
    };
    bench.say(publisher, Packet::Publish(clear));
    assert!(greeted(&mut bench, "third").is_empty());
}

#[test]
fn shared_subscriptions_and_broken_filters_are_refused_alone() {
    let mut bench = Bench::new();
    let client = bench.join(connect("client", 0));
    for (path, expected) in [
        ("$share/g/a", v5::SubscribeReasonCode::SharedSubscriptionsNotSupported),
        ("a/#/b", v5::SubscribeReasonCode::TopicFilterInvalid),
    ] {
        let told = bench.subscribe(client, path, options(Qos::AtLeastOnce));
        let [Told::SubAck(suback)] = &told[..] else {
            panic!("{told:?}")
        };
        assert_eq!(suback.return_codes, [expected]);
    }
}

#[test]
fn a_message_that_has_expired_is_not_delivered_and_others_say_what_is_left() {
    let mut bench = Bench::new();
    let (publisher, subscriber) = (
        bench.join(connect("publisher", 0)),
        bench.join(connect("subscriber", 60)),
    );
    bench.subscribe(subscriber, "t", options(Qos::AtLeastOnce));
    for (payload, expiry_s) in [("short", 3), ("long", 30)] {
        let publish = Publish {
            expiry_s: Some(expiry_s),
            ..message("t", payload, Qos::AtLeastOnce)
        };
        bench.say(publisher, Packet::Publish(publish));
    }
    bench.wait_s(10);
    let received = bench.messages(subscriber);
    assert_eq!(payloads(&received), [b"long"]);
    assert_eq!(
        received[0].properties.as_ref().unwrap().message_expiry_interval,
        Some(20)
    );
}

#[test]
fn a_will_waits_for_its_delay_and_is_dropped_when_the_client_is_back() {
    let mut bench = Bench::new();
    let subscriber = bench.join(connect("subscriber", 60));
    bench.subscribe(subscriber, "gone", options(Qos::AtLeastOnce));
    let with_will = |delay_s| Connect {
        will: Some(Will {
            publish: message("gone", "bye", Qos::AtLeastOnce),
            delay_s,
        }),
        ..connect("device", 60)
    };
    for is_back in [true, false] {
        let device = bench.join(with_will(10));
        bench.broker.closed(device, true, bench.now);
        bench.wait_s(5);
        assert!(bench.messages(subscriber).is_empty());
        if is_back {
            let device = bench.join(with_will(10));
            bench.broker.closed(device, false, bench.now);
        }
        bench.wait_s(6);
        assert_eq!(bench.messages(subscriber).len(), usize::from(!is_back));
    }
    let device = bench.join(with_will(0));
    bench.join(connect("device", 60));
    assert_eq!(bench.messages(subscriber).len(), 1, "taken over is gone, too");
    assert_eq!(
        bench.try_say(device, Packet::PingReq).unwrap_err().reason,
        reason::TAKEN_OVER
    );
}

#[test]
fn a_session_ends_when_its_time_is_over_and_its_messages_with_it() {
    let mut bench = Bench::new();
    let publisher = bench.join(connect("publisher", 0));
    let subscriber = bench.join(connect("subscriber", 10));
    bench.subscribe(subscriber, "t", options(Qos::AtLeastOnce));
    bench.broker.closed(subscriber, false, bench.now);
    bench.say(publisher, Packet::Publish(message("t", "x", Qos::AtLeastOnce)));
    bench.told(publisher);
    assert_eq!(bench.broker.needed_from(), 0);
    bench.wait_s(11);
    bench.told(publisher);
    assert_eq!(bench.broker.needed_from(), 1, "nobody needs the message any more");
    assert_eq!(bench.broker.sessions.len(), 1);
}

#[test]
fn topic_aliases_stand_for_their_topics_within_the_maximum() {
    let mut bench = Bench::new();
    let (publisher, subscriber) = (
        bench.join(connect("publisher", 0)),
        bench.join(connect("subscriber", 0)),
    );
    bench.subscribe(subscriber, "t", options(Qos::AtMostOnce));
    for topic in ["t", ""] {
        let publish = Publish {
            alias: Some(1),
            ..message(topic, "x", Qos::AtMostOnce)
        };
        bench.say(publisher, Packet::Publish(publish));
    }
    assert_eq!(bench.messages(subscriber).len(), 2);
    let beyond = Publish {
        alias: Some(limits::MQTT_TOPIC_ALIASES_MAX + 1),
        ..message("t", "x", Qos::AtMostOnce)
    };
    let ended = bench.try_say(publisher, Packet::Publish(beyond)).unwrap_err();
    assert_eq!(ended.reason, reason::TOPIC_ALIAS_INVALID);
}

#[test]
fn a_publisher_that_exceeds_the_receive_maximum_is_ended() {
    let mut bench = Bench::new();
    let publisher = bench.join(connect("publisher", 0));
    let subscriber = bench.join(connect("subscriber", 60));
    bench.subscribe(subscriber, "t", options(Qos::AtLeastOnce));
    let publish = |packet_id| {
        Packet::Publish(Publish {
            packet_id,
            ..message("t", "x", Qos::AtLeastOnce)
        })
    };
    for packet_id in 1..=limits::MQTT_RECEIVE_MAX {
        bench.say(publisher, publish(packet_id));
    }
    let ended = bench
        .try_say(publisher, publish(limits::MQTT_RECEIVE_MAX + 1))
        .unwrap_err();
    assert_eq!(ended.reason, reason::RECEIVE_MAXIMUM_EXCEEDED);
}

#[test]
fn a_subscriber_is_not_sent_what_is_larger_than_it_takes_and_goes_on() {
    let mut bench = Bench::new();
    let publisher = bench.join(connect("publisher", 0));
    let small = Connect {
        packet_bytes_max: Some(40),
        ..connect("small", 60)
    };
    let subscriber = bench.join(small);
    bench.subscribe(subscriber, "t", options(Qos::AtLeastOnce));
    let large = "0123456789012345678901234567890123456789";
    for payload in [large, "small"] {
        bench.say(publisher, Packet::Publish(message("t", payload, Qos::AtLeastOnce)));
    }
    assert_eq!(payloads(&bench.messages(subscriber)), [b"small"]);
    assert_eq!(bench.broker.take_dropped_counts(), (0, 1));
}

#[test]
fn a_draining_broker_answers_what_it_stored_takes_nothing_more_and_empties_standing_sessions() {
    let mut bench = Bench::new();
    let standing = StandingSession {
        client_id: "taker".to_owned(),
        filters: vec!["a/#".to_owned()],
    };
    bench.broker.stand_up(&standing, bench.now);
    let taker = bench.join(connect("taker", u32::MAX));
    let publisher = bench.join(connect("publisher", 60));
    let stored = message("a/b", "stored", Qos::AtLeastOnce);
    bench.say(publisher, Packet::Publish(stored));
    bench.broker.drain();
    let late = Packet::Publish(message("a/b", "late", Qos::AtLeastOnce));
    assert_eq!(bench.try_say(publisher, late), Ok(Flow::Stalled));

    // The answer to what came before is not safe to give yet, so the client stays.
    let mut output = BytesMut::new();
    bench.broker.fill(publisher, &mut output, bench.now).unwrap();
    assert!(output.is_empty());
    let batch = bench.broker.take_batch();
    bench.broker.committed(batch, 0);
    let sent_away = bench.broker.fill(publisher, &mut output, bench.now).unwrap_err();
    assert_eq!(sent_away.reason, reason::SERVER_SHUTTING_DOWN);
    assert!(matches!(Told::read(&mut output, None), Ok(Told::PubAck(_))));
    bench.broker.closed(publisher, true, bench.now);
    let hello = |client_id| Hello {
        version: Version::V5,
        connect: connect(client_id, 60),
        fresh_client_id: "fresh".to_owned(),
        bell: Arc::new(Notify::new()),
    };
    let refused = bench.broker.connect(hello("publisher"), bench.now).unwrap_err();
    assert_eq!(refused.reason, reason::SERVER_SHUTTING_DOWN);

    // The session that exists for a client of ours is served until it has everything.
    assert!(!bench.broker.is_handed_over());
    let taken = bench.messages(taker);
    assert_eq!(payloads(&taken), [b"stored"]);
    assert!(!bench.broker.is_handed_over());
    bench.say(taker, acknowledgement(taken[0].pkid));
    assert!(bench.broker.is_handed_over());
}

fn acknowledgement(packet_id: u16) -> Packet {
    Packet::Acknowledgement {
        step: Step::PubAck,
        packet_id,
        reason: reason::SUCCESS,
    }
}

/// A device that talks to nobody as well is told of both.
#[test]
fn an_answer_that_waits_for_nothing_hides_none_that_waits() {
    let mut bench = Bench::new();
    let reader = bench.join(connect("reader", 60));
    bench.subscribe(reader, "telemetry/#", options(Qos::AtLeastOnce));
    let other = bench.join(connect("other", 0));
    let bell = Arc::new(Notify::new());
    let hello = Hello {
        version: Version::V5,
        connect: connect("device", 0),
        fresh_client_id: "fresh".to_owned(),
        bell: Arc::clone(&bell),
    };
    let device = bench.broker.connect(hello, bench.now).unwrap();
    bench.told(device);
    let is_rung = || {
        let mut context = Context::from_waker(Waker::noop());
        pin!(bell.notified()).as_mut().poll(&mut context).is_ready()
    };
    is_rung();
    bench.say(other, Packet::Publish(message("telemetry/a", "1", Qos::AtLeastOnce)));
    let first = bench.broker.take_batch();
    bench.say(device, Packet::Publish(message("telemetry/b", "2", Qos::AtLeastOnce)));
    let to_nobody = message("nobody", "3", Qos::AtLeastOnce);
    let to_nobody = Publish {
        packet_id: 2,
        ..to_nobody
    };
    bench.say(device, Packet::Publish(to_nobody));
    let mut output = BytesMut::new();
    bench.broker.fill(device, &mut output, bench.now).unwrap();
    assert!(output.is_empty());
    bench.broker.committed(first, 0);
    while is_rung() {}
    let second = bench.broker.take_batch();
    bench.broker.committed(second, 0);
    assert!(is_rung(), "both acknowledgements can go");
}
