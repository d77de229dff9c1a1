//! One client: packets from its socket to the router and back.

use std::{collections::VecDeque, future::poll_fn, io, pin::pin, sync::Arc, task::Poll, time::Duration};

use bytes::BytesMut;
use rumqttd::{
    Notification,
    local::{LinkRx, LinkTx},
    protocol::{
        self, ConnAck, ConnAckProperties, Connect, ConnectProperties, ConnectReturnCode, DisconnectReasonCode,
        LastWill, Packet, Publish,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{
    handshake::{Greeting, Version, greeting},
    sessions::{Lifetime, RouterGone, Sessions, push, send_disconnect},
};
use crate::limits;

/// Why a connection is over.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    #[error("the peer closed the connection")]
    Closed,
    #[error("the socket failed: {0}")]
    Socket(#[from] io::Error),
    #[error("nothing came within the keep-alive time, or the peer does not read")]
    Timeout(#[from] tokio::time::error::Elapsed),
    #[error("a broken packet: {0}")]
    Packet(#[from] protocol::Error),
    #[error("the first packet is no CONNECT of MQTT 3.1.1 or 5")]
    NoConnect,
    #[error("a client without an id wants a lasting session")]
    NoClientId,
    #[error(transparent)]
    Router(#[from] RouterGone),
    #[error("the client said goodbye")]
    Goodbye { publish_will: bool },
}

/// Serves a client until it leaves.
pub(super) async fn run(mut stream: TcpStream, sessions: &Arc<Sessions>) -> Result<(), End> {
    // The router hands out packets in batches, which are written at once: waiting for more only adds delay.
    stream.set_nodelay(true)?;
    let mut buffer = BytesMut::with_capacity(4096);
    let connecting = read_connect(&mut stream, &mut buffer);
    let (version, hello) = timeout(limits::MQTT_CONNECT_MAX, connecting).await??;
    let (sender, receiver, notification) = sessions.open(&hello.client_id, hello.clean_start, hello.lifetime)?;
    let mut client = Client {
        stream,
        version,
        buffer,
        output: BytesMut::new(),
        held: VecDeque::new(),
        in_flight_max: hello.in_flight_max,
        in_flight: 0,
        silence_max: hello.silence_max,
        sender,
    };
    let end = match client.greet(notification, &hello).await {
        Ok(()) => client.serve(receiver).await,
        Err(end) => end,
    };
    if let Some(will) = hello
        .will
        .filter(|_| !matches!(end, End::Goodbye { publish_will: false }))
    {
        // The subscriber's QoS decides how it goes out; coming in it needs no acknowledgement.
        let will = Publish::new(will.topic, will.message, will.retain);
        push(&mut client.sender, Packet::Publish(will, None));
    }
    send_disconnect(&mut client.sender);
    sessions.closed(&hello.client_id, hello.clean_start, hello.lifetime);
    Err(end)
}

/// What a CONNECT packet asks for.
struct Hello {
    client_id: String,
    assigned_id: bool,
    clean_start: bool,
    lifetime: Lifetime,
    silence_max: Option<Duration>,
    in_flight_max: usize,
    will: Option<LastWill>,
}

async fn read_connect(stream: &mut TcpStream, buffer: &mut BytesMut) -> Result<(Version, Hello), End> {
    loop {
        match greeting(buffer) {
            Greeting::Connect(version) => {
                if let Some(packet) = version.read(buffer)? {
                    return read_hello(stream, version, packet).await.map(|hello| (version, hello));
                }
            }
            Greeting::Incomplete => {}
            Greeting::Foreign => return Err(End::NoConnect),
            Greeting::OtherVersion => {
                refuse(stream, Version::V4, ConnectReturnCode::RefusedProtocolVersion).await?;
                return Err(End::NoConnect);
            }
        }
        if stream.read_buf(buffer).await? == 0 {
            return Err(End::Closed);
        }
    }
}

async fn read_hello(stream: &mut TcpStream, version: Version, packet: Packet) -> Result<Hello, End> {
    let Packet::Connect(connect, properties, will, _, _) = packet else {
        return Err(End::NoConnect);
    };
    let Connect {
        keep_alive,
        mut client_id,
        clean_session,
    } = connect;
    let lifetime = lifetime(version, clean_session, properties.as_ref());
    let assigned_id = client_id.is_empty();
    if assigned_id {
        if version == Version::V4 && !clean_session {
            refuse(stream, version, ConnectReturnCode::ClientIdentifierNotValid).await?;
            return Err(End::NoClientId);
        }
        client_id = format!("meridian-{:032x}", rand::random::<u128>());
    }
    let in_flight_max = properties
        .and_then(|properties| properties.receive_maximum)
        .unwrap_or(u16::MAX);
    Ok(Hello {
        client_id,
        assigned_id,
        clean_start: clean_session,
        lifetime,
        // The specification's one and a half times; 0 turns the check off.
        silence_max: (keep_alive > 0).then(|| Duration::from_secs(keep_alive.into()) * 3 / 2),
        in_flight_max: in_flight_max.into(),
        will,
    })
}

fn lifetime(version: Version, clean_session: bool, properties: Option<&ConnectProperties>) -> Lifetime {
    let expiry = properties
        .and_then(|properties| properties.session_expiry_interval)
        .unwrap_or(0);
    match (version, expiry) {
        (Version::V4, _) if clean_session => Lifetime::Connection,
        (Version::V4, _) | (Version::V5, u32::MAX) => Lifetime::Forever,
        (Version::V5, 0) => Lifetime::Connection,
        (Version::V5, seconds) => Lifetime::After(Duration::from_secs(seconds.into())),
    }
}

async fn refuse(stream: &mut TcpStream, version: Version, code: ConnectReturnCode) -> Result<(), End> {
    let mut output = BytesMut::new();
    version.write(
        Packet::ConnAck(
            ConnAck {
                session_present: false,
                code,
            },
            None,
        ),
        &mut output,
    )?;
    stream.write_all(&output).await?;
    Ok(())
}

struct Client {
    stream: TcpStream,
    version: Version,
    buffer: BytesMut,
    output: BytesMut,
    /// Messages for which the client has no room. The router's own window keeps them few.
    held: VecDeque<BytesMut>,
    in_flight_max: usize,
    in_flight: usize,
    silence_max: Option<Duration>,
    sender: LinkTx,
}

impl Client {
    async fn greet(&mut self, notification: Notification, hello: &Hello) -> Result<(), End> {
        let Some(Packet::ConnAck(acknowledgement, _)) = Option::<Packet>::from(notification) else {
            return Err(End::NoConnect);
        };
        let properties = (self.version == Version::V5).then(|| ConnAckProperties {
            assigned_client_identifier: hello.assigned_id.then(|| hello.client_id.clone()),
            max_packet_size: u32::try_from(limits::MQTT_PACKET_BYTES_MAX).ok(),
            // The router keeps aliases of publishers apart, as it must.
            topic_alias_max: Some(64),
            ..ConnAckProperties::default()
        });
        self.version
            .write(Packet::ConnAck(acknowledgement, properties), &mut self.output)?;
        self.write_out().await
    }

    async fn serve(&mut self, mut receiver: LinkRx) -> End {
        loop {
            if let Err(end) = self.take_packets() {
                return end;
            }
            if let Err(end) = self.write_out().await {
                return end;
            }
            let silence_max = self.silence_max;
            let read = async {
                let reading = self.stream.read_buf(&mut self.buffer);
                match silence_max {
                    Some(time) => timeout(time, reading).await.map_err(End::from),
                    None => Ok(reading.await),
                }
            };
            let step = tokio::select! {
                read = read => match read {
                    Ok(Ok(0)) => Err(End::Closed),
                    Ok(Ok(_)) => Ok(None),
                    Ok(Err(error)) => Err(error.into()),
                    Err(end) => Err(end),
                },
                notification = receiver.next() => notification.map_err(|error| End::Router(error.into())),
            };
            let outcome = match step {
                Ok(Some(notification)) => self.forward(notification, &mut receiver).await,
                Ok(None) => Ok(()),
                Err(end) => Err(end),
            };
            if let Err(end) = outcome {
                return end;
            }
        }
    }

    /// Hands the complete packets in the buffer to the router.
    fn take_packets(&mut self) -> Result<(), End> {
        let mut batch = VecDeque::new();
        let mut end = None;
        while end.is_none() {
            match self.version.read(&mut self.buffer) {
                Ok(None) => break,
                Ok(Some(Packet::Disconnect(disconnect, _))) => {
                    let publish_will = disconnect.reason_code == DisconnectReasonCode::DisconnectWithWillMessage;
                    end = Some(End::Goodbye { publish_will });
                }
                Ok(Some(packet)) => {
                    if matches!(packet, Packet::PubAck(..) | Packet::PubComp(..)) {
                        self.in_flight = self.in_flight.saturating_sub(1);
                    }
                    batch.push_back(packet);
                }
                Err(error) => end = Some(error.into()),
            }
        }
        if let Some(last) = batch.pop_back() {
            self.sender.buffer().append(&mut batch);
            push(&mut self.sender, last);
        }
        self.release_held();
        end.map_or(Ok(()), Err)
    }

    /// Writes a notification of the router and all others that are ready.
    async fn forward(&mut self, first: Notification, receiver: &mut LinkRx) -> Result<(), End> {
        let mut next = Some(first);
        let mut wake = false;
        for _ in 0..limits::MQTT_WRITE_BATCH_MAX {
            let Some(notification) = next.take() else { break };
            match Option::<Packet>::from(notification) {
                Some(packet) => self.encode(packet)?,
                None => wake = true,
            }
            next = ready_now(receiver).await?;
        }
        if let Some(packet) = next.and_then(Option::<Packet>::from) {
            self.encode(packet)?;
        }
        self.write_out().await?;
        if wake {
            // The router waits for us to have made room.
            receiver.wake().await.map_err(RouterGone::from)?;
        }
        Ok(())
    }

    fn encode(&mut self, packet: Packet) -> Result<(), End> {
        let start = self.output.len();
        let is_message = matches!(packet, Packet::Publish(..));
        self.version.write(packet, &mut self.output)?;
        // The QoS is in the first byte of the packet; rumqttd keeps the field to itself.
        if is_message && self.output[start] & 0b0110 != 0 {
            if self.in_flight >= self.in_flight_max || !self.held.is_empty() {
                let message = self.output.split_off(start);
                self.held.push_back(message);
            } else {
                self.in_flight += 1;
            }
        }
        Ok(())
    }

    fn release_held(&mut self) {
        while self.in_flight < self.in_flight_max {
            let Some(message) = self.held.pop_front() else { return };
            self.output.extend_from_slice(&message);
            self.in_flight += 1;
        }
    }

    async fn write_out(&mut self) -> Result<(), End> {
        if !self.output.is_empty() {
            timeout(limits::MQTT_WRITE_MAX, self.stream.write_all(&self.output)).await??;
            self.output.clear();
        }
        Ok(())
    }
}

/// The next notification if there is one without waiting.
async fn ready_now(receiver: &mut LinkRx) -> Result<Option<Notification>, RouterGone> {
    let mut next = pin!(receiver.next());
    poll_fn(|context| match next.as_mut().poll(context) {
        Poll::Ready(notification) => Poll::Ready(notification.map_err(RouterGone::from)),
        Poll::Pending => Poll::Ready(Ok(None)),
    })
    .await
}
