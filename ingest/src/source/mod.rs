//! The seam to MQTT: one connection to one broker, made anew after every failure.
//!
//! A connection is never mended. All that the client library remembers of a broken one (half-sent requests, packet
//! identifiers, buffered events) would be wrong on the next, so a new connection starts with a new client; what counts
//! lives in the broker's session. Adapters stay thin: they translate, and decide nothing.

use std::{future::Future, io, path::PathBuf};

use crate::{
    config::{BrokerSettings, Filter},
    message::{AckSink, Publish},
};

pub mod address;
mod lifeline;
mod rumqttc_v4;
mod rumqttc_v5;
mod tls;

pub use rumqttc_v4::SourceV4;
pub use rumqttc_v5::SourceV5;

/// A broker that can be connected to, again and again, as the same client.
pub trait PublishSource: Send + Sync {
    /// A connection.
    type Link: Link;

    /// A new connection; it does no I/O until it is asked for its first event.
    fn open(&self) -> Self::Link;
}

/// One connection.
pub trait Link: Send {
    /// Takes the acknowledgements for this connection.
    fn acks(&self) -> Box<dyn AckSink>;

    /// Asks for the subscriptions.
    ///
    /// # Errors
    /// When the client has no room for the request.
    fn subscribe(&self, filters: &[Filter]) -> Result<(), SourceError>;

    /// The next event. The first one is [`SourceEvent::Connected`]. Drives the connection: acknowledgements and
    /// keep-alive only go out while this is awaited. Dropping the future is allowed only together with the link.
    ///
    /// # Errors
    /// The connection is broken for good.
    fn next(&mut self) -> impl Future<Output = Result<SourceEvent, SourceError>> + Send;

    /// True when the next event is here already, so that asking for it will not wait.
    fn has_more(&self) -> bool;

    /// Messages that were read before the connection broke and that nobody will send again (QoS 0).
    fn leftovers(&mut self) -> Vec<Publish>;
}

/// What happens on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceEvent {
    /// The broker greeted us, and says whether it has our session.
    Connected {
        /// It has.
        session_present: bool,
    },
    /// All subscriptions are in force.
    Subscribed,
    /// A message.
    Publish(Publish),
    /// Our goodbye was sent.
    Disconnecting,
    /// A sign of life without meaning for us.
    Other,
}

/// Why a connection ended, or could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct SourceError {
    /// In words.
    pub reason: String,
}

impl SourceError {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

/// Why connections to a broker cannot even be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The address cannot be read.
    #[error(transparent)]
    Address(#[from] address::AddressError),
    /// A file for TLS cannot be read.
    #[error("cannot read `{}`: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Certificates or keys are not usable.
    #[error("TLS cannot be set up: {reason}")]
    Tls {
        /// What is wrong and what to do.
        reason: String,
    },
}

/// What an adapter needs to know of a broker, already checked.
pub(crate) struct Recipe {
    pub(crate) settings: BrokerSettings,
    pub(crate) client_id: String,
    pub(crate) address: address::BrokerAddress,
    pub(crate) transport: rumqttc::Transport,
    pub(crate) request_capacity: usize,
}

impl Recipe {
    pub(crate) fn new(settings: &BrokerSettings, client_id: String, requests_max: usize) -> Result<Self, SetupError> {
        let address = address::BrokerAddress::parse(&settings.url)?;
        let transport = if address.tls {
            tls::transport(&settings.tls)?
        } else {
            rumqttc::Transport::tcp()
        };
        Ok(Self {
            settings: settings.clone(),
            client_id,
            address,
            transport,
            request_capacity: requests_max + crate::limits::REQUEST_MARGIN,
        })
    }
}

/// The refusal of a subscription.
fn refused(filters: usize, reason: &str) -> SourceError {
    SourceError::new(format!(
        "the broker refuses one of {filters} subscriptions at QoS 1: {reason}; check its access rules"
    ))
}
