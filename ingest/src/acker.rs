//! Hands acknowledgements to the connection they belong to. Never waits, never hands over one of another connection.

use std::{sync::Arc, time::Duration};

use metrics::Histogram;
use platform::clock::Clock;
#[cfg(feature = "sabotage")]
use platform::sabotage::Rule;

use crate::{
    bridge::Window,
    limits::LATENCY_SAMPLE,
    message::{AckFailure, Connected},
    metrics::ACK_LATENCY,
};

/// The end of the path.
pub(crate) struct Acker {
    connection: Option<Connected>,
    clock: Arc<dyn Clock>,
    latency: Histogram,
}

impl Acker {
    pub(crate) fn new(broker: &str, clock: Arc<dyn Clock>) -> Self {
        Self {
            connection: None,
            clock,
            latency: ACK_LATENCY.histogram(&[("broker", broker)]),
        }
    }

    /// From now on acknowledgements go to this connection.
    pub(crate) fn connected(&mut self, connection: Connected) {
        self.connection = Some(connection);
    }

    /// Hands over what is due. Returns true when some are left because there is no room now.
    pub(crate) fn hand_over(&self, window: &mut Window) -> bool {
        while let Some(due) = window.next_ack().copied() {
            #[cfg(feature = "sabotage")]
            if Rule::AcknowledgeStored.is_broken() {
                window.ack_handed_over();
                continue;
            }
            let handed = match &self.connection {
                #[cfg(feature = "sabotage")]
                Some(connection) if Rule::AcknowledgeOnOwnConnection.is_broken() => connection.acks.try_ack(due.ack),
                Some(connection) if connection.epoch == due.ack.epoch => connection.acks.try_ack(due.ack),
                _ => Err(AckFailure::Closed),
            };
            match handed {
                Ok(()) => window.ack_handed_over(),
                Err(AckFailure::Full) => return true,
                Err(AckFailure::Closed) => window.disconnected(),
            }
            if due.number.is_multiple_of(LATENCY_SAMPLE) {
                self.sample(due.received_at);
            }
        }
        false
    }

    /// Says goodbye behind the last acknowledgement. True when there is nothing to wait for any more.
    pub(crate) fn disconnect(&self) -> bool {
        match self
            .connection
            .as_ref()
            .map(|connection| connection.acks.try_disconnect())
        {
            Some(Err(AckFailure::Full)) => false,
            Some(Ok(()) | Err(AckFailure::Closed)) | None => true,
        }
    }

    fn sample(&self, received_at: Duration) {
        let elapsed = self.clock.monotonic().saturating_sub(received_at);
        self.latency.record(elapsed.as_secs_f64());
    }
}
