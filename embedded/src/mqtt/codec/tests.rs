//! Against the codecs of rumqttc, which were written by others; and against garbage.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use rumqttc::{
    mqttbytes::{QoS, v4},
    v5::mqttbytes::{QoS as QoS5, v5},
};

use super::{
    ConnAck, OutgoingPublish, Packet, PacketError, Qos, Step, Version, read, reason, write_acknowledgement,
    write_connack, write_publish, write_reasons,
};

const PACKET_BYTES_MAX: usize = 1 << 20;

fn message() -> impl Strategy<Value = (u8, bool, bool, u16, String, Vec<u8>)> {
    let topic = "[a-z/]{1,30}";
    let payload = prop::collection::vec(any::<u8>(), 0..300);
    (0_u8..3, any::<bool>(), any::<bool>(), 1_u16.., topic, payload)
}

fn user_properties() -> impl Strategy<Value = Vec<(String, String)>> {
    prop::collection::vec(("[a-z]{0,5}", "[a-z]{0,5}"), 0..3)
}

fn read_one(version: Version, bytes: &mut BytesMut) -> Packet {
    let packet = read(version, bytes, PACKET_BYTES_MAX).unwrap().unwrap();
    assert!(bytes.is_empty());
    packet
}

proptest! {
    #[test]
    fn messages_are_read_and_written_as_others_do(
        (qos, dup, retain, packet_id, topic, payload) in message(),
        (expiry_s, alias) in (any::<Option<u32>>(), any::<Option<u16>>()),
        user_properties in user_properties(),
    ) {
        let mut theirs = v4::Publish::new(&topic, [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][usize::from(qos)], payload.clone());
        theirs.dup = dup && qos > 0;
        theirs.retain = retain;
        theirs.pkid = if qos > 0 { packet_id } else { 0 };
        let mut bytes = BytesMut::new();
        theirs.write(&mut bytes).unwrap();
        let Packet::Publish(ours) = read_one(Version::V4, &mut bytes) else { panic!("a PUBLISH") };
        prop_assert_eq!((ours.dup, ours.qos as u8, ours.retain, ours.packet_id), (theirs.dup, qos, retain, theirs.pkid));
        prop_assert_eq!((&ours.topic[..], &ours.payload[..]), (topic.as_bytes(), &payload[..]));

        let properties = v5::PublishProperties {
            message_expiry_interval: expiry_s,
            topic_alias: alias,
            user_properties: user_properties.clone(),
            ..v5::PublishProperties::default()
        };
        let qos5 = [QoS5::AtMostOnce, QoS5::AtLeastOnce, QoS5::ExactlyOnce][usize::from(qos)];
        let mut theirs = v5::Publish::new(topic.clone(), qos5, payload.clone(), Some(properties));
        theirs.pkid = ours.packet_id;
        theirs.write(&mut bytes).unwrap();
        let Packet::Publish(ours) = read_one(Version::V5, &mut bytes) else { panic!("a PUBLISH") };
        prop_assert_eq!((ours.expiry_s, ours.alias), (expiry_s, alias));

        // What is passed on has the properties for its readers, without those for us.
        let outgoing = OutgoingPublish {
            dup: theirs.dup,
            qos: ours.qos,
            retain,
            packet_id: ours.packet_id,
            topic: &ours.topic,
            expiry_s,
            properties: &ours.properties,
            payload: &ours.payload,
        };
        write_publish(Version::V5, &outgoing, &mut bytes);
        prop_assert_eq!(bytes.len(), outgoing.packet_bytes(Version::V5));
        let v5::Packet::Publish(back) = v5::Packet::read(&mut bytes, None).unwrap() else { panic!("a PUBLISH") };
        prop_assert_eq!((&back.topic[..], &back.payload[..], back.pkid, back.retain), (topic.as_bytes(), &payload[..], theirs.pkid, retain));
        let (expiry, users) = back.properties.map_or((None, Vec::new()), |found| (found.message_expiry_interval, found.user_properties));
        prop_assert_eq!((expiry, users), (expiry_s, user_properties));
        write_publish(Version::V4, &outgoing, &mut bytes);
        prop_assert_eq!(bytes.len(), outgoing.packet_bytes(Version::V4));
        let v4::Packet::Publish(back) = v4::Packet::read(&mut bytes, PACKET_BYTES_MAX).unwrap() else { panic!("a PUBLISH") };
        prop_assert_eq!((back.topic.as_bytes(), &back.payload[..]), (topic.as_bytes(), &payload[..]));
    }

    #[test]
    fn no_bytes_make_it_panic_and_pieces_make_no_difference(
        kind in any::<u8>(),
        body in prop::collection::vec(any::<u8>(), 0..120),
        cut in any::<prop::sample::Index>(),
    ) {
        for version in [Version::V4, Version::V5] {
            let mut packet = vec![kind, u8::try_from(body.len()).unwrap()];
            packet.extend_from_slice(&body);
            let whole = read(version, &mut BytesMut::from(&packet[..]), PACKET_BYTES_MAX);
            let (first, second) = packet.split_at(cut.index(packet.len()));
            let mut pieces = BytesMut::from(first);
            prop_assert_eq!(read(version, &mut pieces, PACKET_BYTES_MAX), Ok(None));
            pieces.extend_from_slice(second);
            prop_assert_eq!(read(version, &mut pieces, PACKET_BYTES_MAX), whole);
        }
    }
}

#[test]
fn a_connect_says_the_same_to_us_as_to_others() {
    let properties = v5::ConnectProperties {
        session_expiry_interval: Some(77),
        receive_maximum: Some(12),
        max_packet_size: Some(9000),
        ..v5::ConnectProperties::new()
    };
    let connect = v5::Connect {
        keep_alive: 30,
        client_id: "ingest".to_owned(),
        clean_start: false,
        properties: Some(properties),
    };
    let will = v5::LastWill::new("gone", "bye", QoS5::AtLeastOnce, true, None);
    let login = v5::Login::new("user", "secret");
    let mut bytes = BytesMut::new();
    connect.write(&Some(will), &Some(login), &mut bytes).unwrap();
    let Packet::Connect(ours) = read_one(Version::V5, &mut bytes) else {
        panic!("a CONNECT")
    };
    assert_eq!(
        (ours.client_id.as_str(), ours.clean_start, ours.keep_alive_s),
        ("ingest", false, 30)
    );
    assert_eq!(
        (ours.session_expiry_s, ours.receive_maximum, ours.packet_bytes_max),
        (77, Some(12), Some(9000))
    );
    let will = ours.will.unwrap().publish;
    assert_eq!(
        (&will.topic[..], &will.payload[..], will.qos, will.retain),
        (&b"gone"[..], &b"bye"[..], Qos::AtLeastOnce, true)
    );
}

#[test]
fn answers_are_understood_by_others() {
    let mut bytes = BytesMut::new();
    let connack = ConnAck {
        session_present: true,
        reason: reason::SUCCESS,
        assigned_client_id: Some("chosen".to_owned()),
        receive_maximum: 4096,
        packet_bytes_max: 1 << 20,
        topic_aliases_max: 64,
    };
    write_connack(Version::V5, &connack, &mut bytes);
    let v5::Packet::ConnAck(theirs) = v5::Packet::read(&mut bytes, None).unwrap() else {
        panic!("a CONNACK")
    };
    let properties = theirs.properties.unwrap();
    assert!(theirs.session_present && properties.shared_subscription_available == Some(0));
    assert_eq!(properties.assigned_client_identifier.as_deref(), Some("chosen"));
    assert_eq!(
        (properties.receive_max, properties.topic_alias_max),
        (Some(4096), Some(64))
    );
    write_acknowledgement(
        Version::V5,
        Step::PubAck,
        7,
        reason::NO_MATCHING_SUBSCRIBERS,
        &mut bytes,
    );
    let v5::Packet::PubAck(theirs) = v5::Packet::read(&mut bytes, None).unwrap() else {
        panic!("a PUBACK")
    };
    assert_eq!(
        (theirs.pkid, theirs.reason),
        (7, v5::PubAckReason::NoMatchingSubscribers)
    );
    write_reasons(Version::V4, true, 9, &[1, reason::FILTER_INVALID], &mut bytes);
    let v4::Packet::SubAck(theirs) = v4::Packet::read(&mut bytes, 100).unwrap() else {
        panic!("a SUBACK")
    };
    assert_eq!(
        theirs.return_codes,
        [
            v4::SubscribeReasonCode::Success(QoS::AtLeastOnce),
            v4::SubscribeReasonCode::Failure
        ]
    );
}

#[test]
fn too_large_and_endless_lengths_are_refused_before_they_are_read() {
    let refused = |bytes: &[u8]| read(Version::V4, &mut BytesMut::from(bytes), 1000).unwrap_err();
    assert_eq!(refused(&[0x30, 0xff, 0x7f]), PacketError::TooLarge);
    assert!(matches!(
        refused(&[0x30, 0xff, 0xff, 0xff, 0xff]),
        PacketError::Malformed(_)
    ));
    let text = Bytes::from_static(b"\x30\x04\0\x02\xff\xfe");
    assert!(
        matches!(refused(&text), PacketError::Malformed(_)),
        "a topic that is no text"
    );
}
