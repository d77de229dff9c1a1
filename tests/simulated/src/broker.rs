//! A model of an MQTT broker with one persistent session, behind ingest's own seam: in order, by packet identifiers, at
//! most so many unacknowledged, everything unacknowledged again on the next connection. Breaks when told to.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use ingest::{
    Filter,
    message::{Ack, AckFailure, AckSink, Publish, Qos},
    source::{Link, PublishSource, SourceError, SourceEvent},
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::sync::Notify;

use crate::trace::Trace;

/// Unacknowledged messages that the broker sends at most: small, so that the window is often full.
const RECEIVE_MAXIMUM: usize = 20;
/// Packet identifiers in use: few, so that each is used again at once, as by a broker that takes the lowest free one.
const PACKET_IDS: u16 = 24;
/// Acknowledgements that a connection queues at most: few, so that it is full at times.
const ACKS_QUEUED_MAX: usize = 12;

/// A message that the broker has acknowledged to its device.
#[derive(Clone, Debug)]
pub(crate) struct Accepted {
    /// Place in the ledger of what was published.
    pub(crate) number: usize,
    pub(crate) topic: Bytes,
    pub(crate) payload: Bytes,
}

/// The broker. Clones share it.
#[derive(Clone)]
pub(crate) struct Broker {
    shared: Arc<Shared>,
}

struct Shared {
    name: String,
    state: Mutex<State>,
    changed: Notify,
    trace: Trace,
}

struct State {
    random: ChaCha8Rng,
    session: Option<Session>,
    connection: Option<Connection>,
    connection_count: u64,
    is_down: bool,
    latency_ms_max: u64,
    /// Messages that went with a lost session, or came while there was none: promised to nobody.
    unpromised: Vec<usize>,
    acknowledged: Vec<usize>,
    redelivered: u64,
}

#[derive(Default)]
struct Session {
    waiting: VecDeque<Accepted>,
    /// Sent and not acknowledged, in the order of sending.
    sent: VecDeque<(u16, Accepted)>,
    last_id: u16,
}

struct Connection {
    number: u64,
    /// How many of the session's sent messages were sent on this connection.
    sent_here: usize,
}

impl Broker {
    pub(crate) fn new(name: &str, seed: u64, trace: &Trace) -> Self {
        let state = State {
            random: ChaCha8Rng::seed_from_u64(seed),
            session: None,
            connection: None,
            connection_count: 0,
            is_down: false,
            latency_ms_max: 0,
            unpromised: Vec::new(),
            acknowledged: Vec::new(),
            redelivered: 0,
        };
        Self {
            shared: Arc::new(Shared {
                name: name.to_owned(),
                state: Mutex::new(state),
                changed: Notify::new(),
                trace: trace.clone(),
            }),
        }
    }

    /// Takes a message from a device, and owes it to the session from now on.
    pub(crate) fn publish(&self, message: Accepted) {
        let mut state = self.shared.lock();
        match &mut state.session {
            Some(session) => session.waiting.push_back(message),
            None => state.unpromised.push(message.number),
        }
        drop(state);
        self.shared.changed.notify_waiters();
    }

    /// Everything in the session has been acknowledged.
    pub(crate) fn is_drained(&self) -> bool {
        let state = self.shared.lock();
        let left = state
            .session
            .as_ref()
            .map(|session| session.waiting.len() + session.sent.len());
        left == Some(0)
    }

    pub(crate) fn has_session(&self) -> bool {
        self.shared.lock().session.is_some()
    }

    /// The connection breaks, with everything that is on it.
    pub(crate) fn break_connection(&self) {
        self.shared.lock().connection = None;
        self.shared.changed.notify_waiters();
    }

    /// While true it takes no connections, and breaks those it has.
    pub(crate) fn set_down(&self, is_down: bool) {
        self.shared.lock().is_down = is_down;
        if is_down {
            self.break_connection();
        }
    }

    /// Longest latency of each packet.
    pub(crate) fn set_latency(&self, ms_max: u64) {
        self.shared.lock().latency_ms_max = ms_max;
    }

    /// Forgets the session and all that it owed.
    pub(crate) fn lose_session(&self) {
        let mut state = self.shared.lock();
        if let Some(session) = state.session.take() {
            let sent = session.sent.into_iter().map(|(_, message)| message.number);
            let waiting = session.waiting.into_iter().map(|message| message.number);
            let lost: Vec<usize> = sent.chain(waiting).collect();
            state.unpromised.extend(lost);
        }
        drop(state);
        self.break_connection();
    }

    pub(crate) fn unpromised(&self) -> Vec<usize> {
        self.shared.lock().unpromised.clone()
    }

    /// Messages that ingest acknowledged, in that order.
    pub(crate) fn acknowledged(&self) -> Vec<usize> {
        self.shared.lock().acknowledged.clone()
    }

    pub(crate) fn redelivered_count(&self) -> u64 {
        self.shared.lock().redelivered
    }

    pub(crate) fn describe(&self) -> String {
        let state = self.shared.lock();
        let counts = state
            .session
            .as_ref()
            .map(|session| (session.waiting.len(), session.sent.len()));
        let (name, connected) = (&self.shared.name, state.connection.is_some());
        format!("broker {name}: waiting and sent {counts:?}, connected {connected}")
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn error(&self, what: &str) -> SourceError {
        SourceError {
            reason: format!("{what} by `{}`", self.name),
        }
    }
}

impl State {
    /// The next message of this connection.
    fn deliver(&mut self) -> Option<Publish> {
        let (session, connection) = (self.session.as_mut()?, self.connection.as_mut()?);
        let redelivered = connection.sent_here < session.sent.len();
        if !redelivered {
            if session.sent.len() >= RECEIVE_MAXIMUM {
                return None;
            }
            let message = session.waiting.pop_front()?;
            let id = session.free_id();
            session.sent.push_back((id, message));
        }
        let (packet_id, message) = &session.sent[connection.sent_here];
        connection.sent_here += 1;
        self.redelivered += u64::from(redelivered);
        Some(Publish {
            topic: message.topic.clone(),
            payload: message.payload.clone(),
            packet_id: *packet_id,
            qos: Qos::AtLeastOnce,
            redelivered,
            replay: None,
        })
    }

    /// An acknowledgement arrives; it must be that of the oldest message sent on this connection.
    fn acknowledge(&mut self, ack: Ack) -> Result<(), String> {
        let (Some(session), Some(connection)) = (&mut self.session, &mut self.connection) else {
            return Ok(());
        };
        let expected = session.sent.front().map(|(id, _)| *id);
        if connection.sent_here == 0 || expected != Some(ack.packet_id) {
            let id = ack.packet_id;
            return Err(format!(
                "packet {id} acknowledged, and the oldest unacknowledged is {expected:?}"
            ));
        }
        connection.sent_here -= 1;
        let (_, message) = session.sent.pop_front().expect("it has a front");
        self.acknowledged.push(message.number);
        Ok(())
    }

    fn latency(&mut self) -> Option<Duration> {
        let ms = self.random.random_range(0..=self.latency_ms_max);
        (ms > 0 && self.random.random_bool(0.3)).then(|| Duration::from_millis(ms))
    }
}

impl Session {
    fn free_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id % PACKET_IDS + 1;
            if self.sent.iter().all(|(id, _)| *id != self.last_id) {
                return self.last_id;
            }
        }
    }
}

impl PublishSource for Broker {
    type Link = SimulatedLink;

    fn open(&self) -> SimulatedLink {
        SimulatedLink {
            shared: self.shared.clone(),
            number: None,
            requests: Arc::new(Requests {
                acks: Mutex::default(),
                subscribe: AtomicBool::new(false),
                disconnect: AtomicBool::new(false),
                is_closed: AtomicBool::new(false),
                shared: self.shared.clone(),
            }),
        }
    }
}

/// One connection, as ingest sees it.
pub(crate) struct SimulatedLink {
    shared: Arc<Shared>,
    number: Option<u64>,
    requests: Arc<Requests>,
}

/// What the client has asked for and the connection has not sent yet.
struct Requests {
    acks: Mutex<VecDeque<Ack>>,
    subscribe: AtomicBool,
    disconnect: AtomicBool,
    is_closed: AtomicBool,
    shared: Arc<Shared>,
}

struct Acks(Arc<Requests>);

impl AckSink for Acks {
    fn try_ack(&self, ack: Ack) -> Result<(), AckFailure> {
        if self.0.is_closed.load(Ordering::Relaxed) {
            return Err(AckFailure::Closed);
        }
        let mut acks = self.0.acks.lock().unwrap_or_else(PoisonError::into_inner);
        if acks.len() >= ACKS_QUEUED_MAX {
            return Err(AckFailure::Full);
        }
        acks.push_back(ack);
        drop(acks);
        self.0.shared.changed.notify_waiters();
        Ok(())
    }

    fn try_disconnect(&self) -> Result<(), AckFailure> {
        if self.0.is_closed.load(Ordering::Relaxed) {
            return Err(AckFailure::Closed);
        }
        self.0.disconnect.store(true, Ordering::Relaxed);
        self.0.shared.changed.notify_waiters();
        Ok(())
    }
}

impl Drop for SimulatedLink {
    fn drop(&mut self) {
        self.requests.is_closed.store(true, Ordering::Relaxed);
        let mut state = self.shared.lock();
        if self.number.is_some() && state.connection.as_ref().map(|connection| connection.number) == self.number {
            state.connection = None;
        }
    }
}

impl Link for SimulatedLink {
    fn acks(&self) -> Box<dyn AckSink> {
        Box::new(Acks(self.requests.clone()))
    }

    fn subscribe(&self, _filters: &[Filter]) -> Result<(), SourceError> {
        self.requests.subscribe.store(true, Ordering::Relaxed);
        Ok(())
    }

    async fn next(&mut self) -> Result<SourceEvent, SourceError> {
        let latency = self.shared.lock().latency();
        match latency {
            Some(latency) => tokio::time::sleep(latency).await,
            None => tokio::task::yield_now().await,
        }
        if self.number.is_none() {
            return self.greet();
        }
        let shared = self.shared.clone();
        loop {
            let changed = shared.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(event) = self.advance()? {
                return Ok(event);
            }
            changed.await;
        }
    }

    fn has_more(&self) -> bool {
        false
    }

    fn leftovers(&mut self) -> Vec<Publish> {
        Vec::new()
    }
}

impl SimulatedLink {
    fn greet(&mut self) -> Result<SourceEvent, SourceError> {
        let mut state = self.shared.lock();
        if state.is_down {
            return Err(self.shared.error("refused"));
        }
        state.connection_count += 1;
        let number = state.connection_count;
        state.connection = Some(Connection { number, sent_here: 0 });
        self.number = Some(number);
        let session_present = state.session.is_some();
        drop(state);
        // An earlier connection of this client ends now.
        self.shared.changed.notify_waiters();
        Ok(SourceEvent::Connected { session_present })
    }

    /// Sends what was asked for, then takes what there is.
    fn advance(&self) -> Result<Option<SourceEvent>, SourceError> {
        let mut state = self.shared.lock();
        if state.connection.as_ref().map(|connection| connection.number) != self.number {
            return Err(self.shared.error("disconnected"));
        }
        if self.requests.subscribe.swap(false, Ordering::Relaxed) {
            state.session.get_or_insert_default();
            return Ok(Some(SourceEvent::Subscribed));
        }
        let mut acks = self.requests.acks.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(ack) = acks.pop_front() {
            if let Err(violation) = state.acknowledge(ack) {
                self.shared.trace.violation(violation);
            }
        }
        if self.requests.disconnect.swap(false, Ordering::Relaxed) {
            state.connection = None;
            return Ok(Some(SourceEvent::Disconnecting));
        }
        Ok(state.deliver().map(SourceEvent::Publish))
    }
}
