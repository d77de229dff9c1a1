//! An MQTT 5 publisher (QoS 1) for many devices over few connections, with an exact ledger.
//!
//! The messages of one topic go over one connection and stay in order, also across reconnects. Must never call a message
//! acknowledged that the broker did not take, and never forget one.

mod address;
mod lane;
mod ledger;
mod window;
mod wire;

#[cfg(test)]
mod tests;

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use platform::shutdown::{Shutdown, ShutdownTrigger};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::Instant,
};

pub use address::{AddressError, BrokerAddress};
pub use ledger::{Entry, Fate, Ledger};

use crate::{
    limits::{
        ACKNOWLEDGEMENT_WAIT_MAX, CONNECTIONS_MAX, FIRST_CONNECT_MAX, HOUSEKEEPING_INTERVAL, INFLIGHT_MAX_DEFAULT,
        LANE_QUEUE_MESSAGES,
    },
    message::Message,
};

/// How to publish.
#[derive(Clone, Debug)]
pub struct PublisherOptions {
    /// `mqtt://host:port`.
    pub url: String,
    /// Connections to share the topics among.
    pub connections: usize,
    /// Messages under way on one connection; the broker may grant fewer.
    pub inflight_max: u16,
    /// Client identifiers are this, a hyphen and the number of the connection.
    pub client_id_prefix: String,
    /// User name and password, if the broker wants them.
    pub credentials: Option<(String, String)>,
    /// Whether to keep an entry for each message; a run without end keeps counts only.
    pub keeps_entries: bool,
}

impl PublisherOptions {
    /// One connection with the usual window.
    #[must_use]
    pub fn new(url: impl Into<String>, client_id_prefix: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            connections: 1,
            inflight_max: INFLIGHT_MAX_DEFAULT,
            client_id_prefix: client_id_prefix.into(),
            credentials: None,
            keeps_entries: true,
        }
    }
}

/// Why nothing can be published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The URL is no address.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// An option is out of range.
    #[error("`connections` is {0}: use 1 to {CONNECTIONS_MAX}")]
    Connections(usize),
    /// The broker was never reached.
    #[error("cannot connect to the MQTT broker at `{url}`: {reason}; check that it runs there")]
    Unreachable {
        /// Where.
        url: String,
        /// What the last try said.
        reason: String,
    },
    /// Shutdown was requested.
    #[error("stopped by shutdown")]
    Shutdown,
}

/// A message on its way to a connection.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The caller's number for it.
    pub number: u64,
    /// What is sent.
    pub message: Message,
    /// When it was meant to be sent: latencies count from here.
    pub intended: Instant,
}

/// Connections that publish. Dropping it abandons what is under way.
#[derive(Debug)]
pub struct Publisher {
    lanes: Vec<mpsc::Sender<Outgoing>>,
    tasks: Vec<JoinHandle<Ledger>>,
    acknowledged_count: Arc<AtomicU64>,
    abandon: ShutdownTrigger,
}

impl Publisher {
    /// Connects, and returns when every connection stands.
    ///
    /// # Errors
    /// When the broker cannot be reached for [`FIRST_CONNECT_MAX`].
    pub async fn connect(options: &PublisherOptions, shutdown: &Shutdown) -> Result<Self, PublishError> {
        let address = BrokerAddress::parse(&options.url)?;
        if !(1..=CONNECTIONS_MAX).contains(&options.connections) {
            return Err(PublishError::Connections(options.connections));
        }
        let (abandon, abandoned) = Shutdown::new();
        let mut publisher = Self {
            lanes: Vec::new(),
            tasks: Vec::new(),
            acknowledged_count: Arc::default(),
            abandon,
        };
        let mut states = Vec::new();
        for index in 0..options.connections {
            let (sender, receiver) = mpsc::channel(LANE_QUEUE_MESSAGES);
            let (state_sender, state) = watch::channel(lane::State::Connecting(String::new()));
            let lane = lane::Lane::new(lane::LaneSetup {
                address: address.clone(),
                client_id: format!("{}-{index}", options.client_id_prefix),
                credentials: options.credentials.clone(),
                inflight_max: options.inflight_max,
                keeps_entries: options.keeps_entries,
                inbox: receiver,
                state: state_sender,
                acknowledged_count: Arc::clone(&publisher.acknowledged_count),
                abandoned: abandoned.clone(),
            });
            publisher.lanes.push(sender);
            publisher.tasks.push(tokio::spawn(lane.run()));
            states.push(state);
        }
        let deadline = Instant::now() + FIRST_CONNECT_MAX;
        for state in states {
            wait_connected(state, deadline, &options.url, shutdown).await?;
        }
        Ok(publisher)
    }

    /// Hands over a message; waits while the connection's queue is full.
    ///
    /// # Errors
    /// When shutdown was requested first; the message was not taken then.
    pub async fn publish(&self, outgoing: Outgoing, shutdown: &Shutdown) -> Result<(), PublishError> {
        let mut hasher = DefaultHasher::new();
        outgoing.message.topic.hash(&mut hasher);
        let index = (hasher.finish() % self.lanes.len() as u64) as usize;
        tokio::select! {
            biased;
            sent = self.lanes[index].send(outgoing) => {
                sent.expect("a lane ends only after its queue is closed or the publisher abandoned");
                Ok(())
            }
            () = shutdown.requested() => Err(PublishError::Shutdown),
        }
    }

    /// Messages that brokers have taken so far.
    #[must_use]
    pub fn acknowledged_count(&self) -> u64 {
        self.acknowledged_count.load(Ordering::Relaxed)
    }

    /// Waits until everything is acknowledged, and closes the connections. What gets no acknowledgement while none
    /// comes at all for [`ACKNOWLEDGEMENT_WAIT_MAX`] (or for `patience`, if that is shorter) counts as unknown.
    pub async fn finish(self, patience: Duration) -> Ledger {
        let Self {
            lanes,
            tasks,
            acknowledged_count,
            abandon,
        } = self;
        drop(lanes);
        let patience = patience.min(ACKNOWLEDGEMENT_WAIT_MAX);
        let watchdog = tokio::spawn(async move {
            let mut seen = acknowledged_count.load(Ordering::Relaxed);
            let mut last_progress = Instant::now();
            while last_progress.elapsed() < patience {
                tokio::time::sleep(HOUSEKEEPING_INTERVAL.min(patience)).await;
                let now_count = acknowledged_count.load(Ordering::Relaxed);
                if now_count != seen {
                    (seen, last_progress) = (now_count, Instant::now());
                }
            }
            abandon.request();
        });
        let mut ledger = Ledger::new(true);
        for task in tasks {
            ledger.merge(task.await.expect("a lane does not panic"));
        }
        watchdog.abort();
        ledger
    }
}

async fn wait_connected(
    mut state: watch::Receiver<lane::State>,
    deadline: Instant,
    url: &str,
    shutdown: &Shutdown,
) -> Result<(), PublishError> {
    let connected = tokio::select! {
        biased;
        _ = state.wait_for(|state| matches!(state, lane::State::Connected)) => true,
        () = shutdown.requested() => return Err(PublishError::Shutdown),
        () = tokio::time::sleep_until(deadline) => false,
    };
    match &*state.borrow() {
        lane::State::Connecting(reason) if !connected => Err(PublishError::Unreachable {
            url: url.to_owned(),
            reason: reason.clone(),
        }),
        lane::State::Connecting(_) | lane::State::Connected => Ok(()),
    }
}
