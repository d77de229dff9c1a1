//! One MQTT 5 session over one TCP connection: packets in and out, nothing remembered between connections.

use std::time::Duration;

use bytes::BytesMut;
use rumqttc::v5::mqttbytes::{
    Error as CodecError, QoS,
    v5::{
        ConnAck, Connect, ConnectProperties, ConnectReturnCode, Disconnect, DisconnectReasonCode, Login, Packet,
        PingReq, Publish,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{BrokerAddress, window::Slot};
use crate::limits::{
    CONNECT_MAX, INCOMING_PACKET_BYTES_MAX, KEEP_ALIVE, READ_BUFFER_BYTES, RECEIVE_MAXIMUM_DEFAULT,
    SESSION_EXPIRY_SECONDS, STALL_MAX,
};

/// Why a connection ended. All are answered the same way: connect again.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("the broker closed the connection")]
    Closed,
    #[error("the broker refused the connection: {0:?}")]
    Refused(ConnectReturnCode),
    #[error("the broker said goodbye: {0:?}")]
    Disconnected(DisconnectReasonCode),
    #[error("malformed or unexpected packet: {0}")]
    Protocol(String),
    #[error("no sign of life for {} s", .0.as_secs())]
    Silent(Duration),
}

/// What the broker grants.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grant {
    pub(super) receive_maximum: u16,
    pub(super) packet_bytes_max: Option<u32>,
}

/// A connection that stands.
pub(super) struct Wire {
    stream: TcpStream,
    input: BytesMut,
    output: BytesMut,
    grant: Grant,
}

impl Wire {
    /// Connects and completes the MQTT handshake.
    pub(super) async fn open(
        address: &BrokerAddress,
        client_id: &str,
        credentials: Option<&(String, String)>,
        clean_start: bool,
    ) -> Result<(Self, Grant), WireError> {
        let handshake = async {
            let stream = TcpStream::connect((address.host.as_str(), address.port)).await?;
            // Writes are gathered here, so nothing is gained by waiting for more.
            stream.set_nodelay(true)?;
            let mut wire = Self {
                stream,
                input: BytesMut::with_capacity(READ_BUFFER_BYTES),
                output: BytesMut::new(),
                grant: Grant {
                    receive_maximum: RECEIVE_MAXIMUM_DEFAULT,
                    packet_bytes_max: None,
                },
            };
            wire.say_hello(client_id, credentials, clean_start).await?;
            let grant = wire.grant;
            Ok((wire, grant))
        };
        let timed = tokio::time::timeout(CONNECT_MAX, handshake).await;
        timed.unwrap_or(Err(WireError::Silent(CONNECT_MAX)))
    }

    async fn say_hello(
        &mut self,
        client_id: &str,
        credentials: Option<&(String, String)>,
        clean_start: bool,
    ) -> Result<(), WireError> {
        let mut properties = ConnectProperties::new();
        properties.session_expiry_interval = Some(SESSION_EXPIRY_SECONDS);
        properties.max_packet_size = Some(INCOMING_PACKET_BYTES_MAX);
        let connect = Connect {
            keep_alive: KEEP_ALIVE.as_secs() as u16,
            client_id: client_id.to_owned(),
            clean_start,
            properties: Some(properties),
        };
        let login = credentials.map(|(user, password)| Login::new(user.clone(), password.clone()));
        self.push(&Packet::Connect(connect, None, login));
        self.flush().await?;
        loop {
            match self.take_packet()? {
                Some(Packet::ConnAck(answer)) => return self.accept(&answer),
                Some(other) => return Err(WireError::Protocol(format!("{other:?} before CONNACK"))),
                None => self.read().await?,
            }
        }
    }

    fn accept(&mut self, answer: &ConnAck) -> Result<(), WireError> {
        if answer.code != ConnectReturnCode::Success {
            return Err(WireError::Refused(answer.code));
        }
        if let Some(properties) = &answer.properties {
            self.grant = Grant {
                receive_maximum: properties.receive_max.unwrap_or(RECEIVE_MAXIMUM_DEFAULT),
                packet_bytes_max: properties.max_packet_size,
            };
        }
        Ok(())
    }

    /// Adds a publication to the next write. False when the broker does not take packets of its size.
    pub(super) fn push_publish(&mut self, slot: &Slot) -> bool {
        let publish = Publish {
            dup: slot.sent_count > 1,
            qos: QoS::AtLeastOnce,
            retain: false,
            topic: slot.outgoing.message.topic.clone(),
            pkid: slot.packet_id,
            payload: slot.outgoing.message.payload.clone(),
            properties: None,
        };
        if self
            .grant
            .packet_bytes_max
            .is_some_and(|max| publish.size() > max as usize)
        {
            return false;
        }
        self.push(&Packet::Publish(publish));
        true
    }

    pub(super) fn push_ping(&mut self) {
        self.push(&Packet::PingReq(PingReq));
    }

    pub(super) fn push_goodbye(&mut self) {
        self.push(&Packet::Disconnect(Disconnect::new(
            DisconnectReasonCode::NormalDisconnection,
        )));
    }

    fn push(&mut self, packet: &Packet) {
        packet
            .write(&mut self.output, None)
            .expect("identifiers are not 0 and payloads are far below 256 MiB");
    }

    /// Bytes gathered for the next write.
    pub(super) fn pending_bytes(&self) -> usize {
        self.output.len()
    }

    /// Writes what was gathered. A peer that reads nothing for [`STALL_MAX`] counts as gone.
    pub(super) async fn flush(&mut self) -> Result<(), WireError> {
        if self.output.is_empty() {
            return Ok(());
        }
        let written = tokio::time::timeout(STALL_MAX, self.stream.write_all(&self.output)).await;
        written.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))?;
        self.output.clear();
        Ok(())
    }

    /// Reads more bytes. Safe to drop at any moment.
    pub(super) async fn read(&mut self) -> Result<(), WireError> {
        self.input.reserve(READ_BUFFER_BYTES);
        match self.stream.read_buf(&mut self.input).await? {
            0 => Err(WireError::Closed),
            _ => Ok(()),
        }
    }

    /// The next whole packet of what was read.
    pub(super) fn take_packet(&mut self) -> Result<Option<Packet>, WireError> {
        match Packet::read(&mut self.input, Some(INCOMING_PACKET_BYTES_MAX)) {
            Ok(packet) => Ok(Some(packet)),
            Err(CodecError::InsufficientBytes(_)) => Ok(None),
            Err(error) => Err(WireError::Protocol(error.to_string())),
        }
    }
}
