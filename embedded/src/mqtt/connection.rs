//! One client: packets from its socket to the broker and back.
//!
//! Reads and writes at the same time: a client that acknowledges while we write to it must not make both wait. Must
//! never hold more for a client than the bounds say, whatever it sends or does not read.

use std::{collections::VecDeque, future::Future, io, pin::Pin, sync::Arc, time::Duration};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
    task::JoinHandle,
    time::{Instant, Sleep, sleep_until, timeout},
};

use super::{
    codec::{self, ConnAck, Connect, Packet, PacketError, Version, reason},
    core::{Ended, Filled, Flow, Handle, Hello},
    handshake::{Greeting, greeting},
    journal::{Folder, Page, read_page},
    shared::Shared,
};
use crate::limits;

/// Why a connection is over.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    #[error("the peer closed the connection")]
    Closed,
    #[error("the socket or the log failed: {0}")]
    Io(#[from] io::Error),
    #[error("no CONNECT came in time, or it could not be answered in time")]
    NotConnectedInTime(#[from] tokio::time::error::Elapsed),
    #[error("nothing came within the keep-alive time")]
    Silent,
    #[error("the peer does not read")]
    Deaf,
    #[error("broken packets: {0}")]
    Packet(#[from] PacketError),
    #[error("the first packet is no CONNECT of MQTT 3.1.1 or 5")]
    NoConnect,
    #[error("ended by the broker: {0}")]
    Broker(#[from] Ended),
    #[error("the client said goodbye")]
    Goodbye { publish_will: bool },
}

/// Serves a client until it leaves.
pub(super) async fn run(mut stream: TcpStream, shared: &Shared, folder: &Folder) -> Result<(), End> {
    // Packets are gathered before they are written: waiting for more only adds delay.
    stream.set_nodelay(true)?;
    let mut input = BytesMut::new();
    let connecting = read_connect(&mut stream, &mut input);
    let (version, connect) = timeout(limits::MQTT_CONNECT_MAX, connecting).await??;
    // The specification's one and a half times; 0 turns the check off.
    let silence_max = Duration::from_secs(connect.keep_alive_s.into()) * 3 / 2;
    let bell = Arc::new(Notify::new());
    let hello = Hello {
        version,
        connect,
        fresh_client_id: format!("meridian-{:032x}", rand::random::<u128>()),
        bell: Arc::clone(&bell),
    };
    let handle = match shared.with(|broker, now| broker.connect(hello, now)) {
        Ok(handle) => handle,
        Err(ended) => {
            refuse(&mut stream, version, ended.reason).await?;
            return Err(ended.into());
        }
    };
    let mut client = Client {
        stream,
        version,
        handle,
        bell,
        shared,
        folder,
        input,
        read_bytes: limits::MQTT_READ_BYTES.0,
        packets: VecDeque::new(),
        output: BytesMut::new(),
        paging: None,
        silence_max: (!silence_max.is_zero()).then_some(silence_max),
        heard_at: Instant::now(),
        stuck_since: None,
        watchdog: None,
    };
    let end = match client.greet().await {
        Ok(()) => client.serve().await,
        Err(end) => end,
    };
    let publish_will = !matches!(end, End::Goodbye { publish_will: false });
    shared.with(|broker, now| broker.closed(handle, publish_will, now));
    client.say_goodbye(&end).await;
    Err(end)
}

async fn read_connect(stream: &mut TcpStream, input: &mut BytesMut) -> Result<(Version, Connect), End> {
    loop {
        match greeting(input) {
            Greeting::Connect(version) => match codec::read(version, input, limits::MQTT_CONNECT_BYTES_MAX) {
                Ok(Some(Packet::Connect(connect))) => return Ok((version, *connect)),
                Ok(Some(_)) => return Err(End::NoConnect),
                Ok(None) => {}
                Err(error) => {
                    if version == Version::V5 {
                        refuse(stream, version, error.reason()).await?;
                    }
                    return Err(error.into());
                }
            },
            Greeting::Incomplete => {}
            Greeting::Foreign => return Err(End::NoConnect),
            Greeting::OtherVersion => {
                refuse(stream, Version::V4, reason::UNSUPPORTED_VERSION).await?;
                return Err(End::NoConnect);
            }
        }
        if stream.read_buf(input).await? == 0 {
            return Err(End::Closed);
        }
    }
}

async fn refuse(stream: &mut TcpStream, version: Version, reason: u8) -> Result<(), End> {
    let mut output = BytesMut::new();
    let connack = ConnAck {
        session_present: false,
        reason,
        assigned_client_id: None,
        receive_maximum: 0,
        packet_bytes_max: 0,
        topic_aliases_max: 0,
    };
    codec::write_connack(version, &connack, &mut output);
    stream.write_all(&output).await?;
    Ok(())
}

struct Client<'a> {
    stream: TcpStream,
    version: Version,
    handle: Handle,
    bell: Arc<Notify>,
    shared: &'a Shared,
    folder: &'a Folder,
    input: BytesMut,
    read_bytes: usize,
    /// Read, and not taken by the broker yet.
    packets: VecDeque<Packet>,
    output: BytesMut,
    paging: Option<JoinHandle<io::Result<Page>>>,
    silence_max: Option<Duration>,
    heard_at: Instant,
    /// Output has been waiting for the client since then.
    stuck_since: Option<Instant>,
    /// `None` while there is nothing to watch.
    watchdog: Option<Pin<Box<Sleep>>>,
}

impl Client<'_> {
    /// CONNACK goes out before anything else is looked at.
    async fn greet(&mut self) -> Result<(), End> {
        loop {
            self.fill()?;
            if !self.output.is_empty() {
                timeout(limits::MQTT_WRITE_MAX, self.stream.write_all(&self.output))
                    .await
                    .map_err(|_| End::Deaf)??;
                self.output.clear();
                return Ok(());
            }
            // A disk that cannot be written keeps everybody waiting, but no connection for ever.
            timeout(limits::MQTT_WRITE_MAX, self.bell.notified()).await?;
        }
    }

    async fn serve(&mut self) -> End {
        loop {
            if let Err(end) = self.step().await {
                return end;
            }
        }
    }

    /// One round: what came goes to the broker, what is due goes out, then something has to happen.
    async fn step(&mut self) -> Result<(), End> {
        let broken = self.decode().err();
        let (flow, has_more) = self.exchange()?;
        if let Some(error) = broken {
            return Err(error.into());
        }
        if let Flow::Goodbye { publish_will } = flow {
            return Err(End::Goodbye { publish_will });
        }
        let is_written = self.write_ready()?;
        if has_more && is_written {
            tokio::task::consume_budget().await;
            return Ok(());
        }
        self.set_watchdog();
        if self.input.is_empty() {
            // Ten thousand quiet clients need no buffers.
            self.input = BytesMut::new();
        }
        if self.output.is_empty() {
            self.output = BytesMut::new();
        }
        let can_read = self.packets.is_empty() && self.output.len() < limits::MQTT_OUTPUT_BYTES_MAX;
        let happened = tokio::select! {
            ready = self.stream.readable(), if can_read => ready.map(|()| Happened::Readable)?,
            ready = self.stream.writable(), if !self.output.is_empty() => ready.map(|()| Happened::Other)?,
            () = self.bell.notified() => Happened::Other,
            page = finished(&mut self.paging) => Happened::Page(page?),
            () = expired(&mut self.watchdog) => Happened::Expired,
        };
        match happened {
            Happened::Readable => self.read()?,
            Happened::Other => {}
            Happened::Page(page) => {
                self.paging = None;
                self.shared.with(|broker, _| broker.page_arrived(self.handle, page))?;
            }
            Happened::Expired => self.check_patience(can_read)?,
        }
        Ok(())
    }

    fn decode(&mut self) -> Result<(), PacketError> {
        if !self.packets.is_empty() {
            return Ok(());
        }
        while let Some(packet) = codec::read(self.version, &mut self.input, self.shared.packet_bytes_max())? {
            self.packets.push_back(packet);
        }
        Ok(())
    }

    /// Hands packets over and takes what is due. True when there is more than was taken.
    fn exchange(&mut self) -> Result<(Flow, bool), End> {
        let (handle, packets, output) = (self.handle, &mut self.packets, &mut self.output);
        let (flow, filled) = self.shared.with(|broker, now| {
            let flow = broker.receive(handle, packets, now)?;
            let filled = match output.len() < limits::MQTT_OUTPUT_FILL_BYTES {
                true => broker.fill(handle, output, now)?,
                false => Filled::default(),
            };
            Ok::<_, Ended>((flow, filled))
        })?;
        let has_more = filled.has_more;
        self.start_page(filled);
        Ok((flow, has_more))
    }

    fn fill(&mut self) -> Result<(), End> {
        let (handle, output) = (self.handle, &mut self.output);
        let filled = self.shared.with(|broker, now| broker.fill(handle, output, now))?;
        self.start_page(filled);
        Ok(())
    }

    fn start_page(&mut self, filled: Filled) {
        if let Some(request) = filled.page {
            let folder = self.folder.clone();
            self.paging = Some(tokio::task::spawn_blocking(move || read_page(&folder, &request)));
        }
    }

    fn read(&mut self) -> Result<(), End> {
        self.input.reserve(self.read_bytes);
        match self.stream.try_read_buf(&mut self.input) {
            Ok(0) => return Err(End::Closed),
            Ok(count) => {
                self.heard_at = Instant::now();
                let (least, most) = limits::MQTT_READ_BYTES;
                if count >= self.read_bytes {
                    self.read_bytes = (self.read_bytes * 4).min(most);
                } else if count < self.read_bytes / 8 {
                    self.read_bytes = (self.read_bytes / 2).max(least);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Writes what the socket takes now. True when it took all.
    fn write_ready(&mut self) -> Result<bool, End> {
        while !self.output.is_empty() {
            match self.stream.try_write(&self.output) {
                Ok(count) => {
                    self.output.advance(count);
                    self.stuck_since = None;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.stuck_since.get_or_insert_with(Instant::now);
                    return Ok(false);
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.stuck_since = None;
        Ok(true)
    }

    fn deadline(&self) -> Option<Instant> {
        let silent = self.silence_max.map(|time| self.heard_at + time);
        let deaf = self.stuck_since.map(|since| since + limits::MQTT_WRITE_MAX);
        [silent, deaf].into_iter().flatten().min()
    }

    /// A watchdog that rings too early looks again; only one that would ring too late is set anew.
    fn set_watchdog(&mut self) {
        let Some(deadline) = self.deadline() else { return };
        match &mut self.watchdog {
            Some(watchdog) if watchdog.deadline() <= deadline => {}
            Some(watchdog) => watchdog.as_mut().reset(deadline),
            None => self.watchdog = Some(Box::pin(sleep_until(deadline))),
        }
    }

    fn check_patience(&mut self, can_read: bool) -> Result<(), End> {
        self.watchdog = None;
        let now = Instant::now();
        if self
            .stuck_since
            .is_some_and(|since| since + limits::MQTT_WRITE_MAX <= now)
        {
            return Err(End::Deaf);
        }
        if !can_read {
            // It is us who do not listen.
            self.heard_at = now;
        }
        match self.silence_max {
            Some(time) if self.heard_at + time <= now => Err(End::Silent),
            Some(_) | None => Ok(()),
        }
    }

    /// Tells a client of MQTT 5 why, if it still listens.
    async fn say_goodbye(&mut self, end: &End) {
        let reason = match end {
            End::Broker(ended) => ended.reason,
            End::Packet(error) => error.reason(),
            End::Silent => reason::KEEP_ALIVE_TIMEOUT,
            End::Closed
            | End::Io(_)
            | End::NotConnectedInTime(_)
            | End::Deaf
            | End::NoConnect
            | End::Goodbye { .. } => {
                return;
            }
        };
        codec::write_disconnect(self.version, reason, &mut self.output);
        // A client that does not take it will see the end of the connection.
        let _ = timeout(Duration::from_secs(1), self.stream.write_all(&self.output)).await;
    }
}

enum Happened {
    Readable,
    /// The socket takes output again, or the broker has rung.
    Other,
    Page(Page),
    Expired,
}

/// Waits for the page that is being read; for ever where there is none.
async fn finished(paging: &mut Option<JoinHandle<io::Result<Page>>>) -> io::Result<Page> {
    match paging {
        Some(reading) => reading.await.map_err(io::Error::other)?,
        None => std::future::pending().await,
    }
}

/// Waits for the watchdog; for ever where there is none.
fn expired(watchdog: &mut Option<Pin<Box<Sleep>>>) -> impl Future<Output = ()> {
    std::future::poll_fn(|context| match watchdog {
        Some(sleep) => sleep.as_mut().poll(context),
        None => std::task::Poll::Pending,
    })
}
