//! Drives the window: records to the log, its reports back, and acknowledgements out. Nothing is acknowledged here that
//! the window does not say.
//!
//! Never waits for the broker; what the log does not take now is kept and tried again, in order.

use std::{sync::Arc, time::Duration};

use eventlog::{Delivery, LogError, Producer, SendError};
#[cfg(feature = "sabotage")]
use platform::sabotage::Rule;
use platform::{clock::Clock, health::HealthReporter, units::format_duration};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

use crate::{
    IngestError,
    acker::Acker,
    bridge::{Fault, Stamp, Window},
    ledger::ConnectionCounts,
    limits,
    message::Decoded,
    occupancy::Occupancy,
};

/// Records in, acknowledgements out.
pub(crate) struct Forwarder {
    pub(crate) stamp: Stamp,
    pub(crate) window: Window,
    pub(crate) acker: Acker,
    pub(crate) producer: Box<dyn Producer>,
    pub(crate) deliveries: mpsc::Receiver<Vec<Delivery>>,
    pub(crate) decoded: mpsc::Receiver<Decoded>,
    pub(crate) occupancy: Arc<Occupancy>,
    pub(crate) counts: Arc<ConnectionCounts>,
    pub(crate) health: HealthReporter,
    pub(crate) clock: Arc<dyn Clock>,
}

/// What is left to do and has to wait.
#[derive(Clone, Copy)]
struct Waiting {
    records: bool,
    acks: bool,
}

impl Forwarder {
    /// Runs until the intake has ended and everything has left the window.
    pub(crate) async fn run(mut self) -> Result<(), IngestError> {
        let mut report = interval(limits::REPORT_INTERVAL);
        report.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ended = false;
        let mut try_again_at: Option<Instant> = None;
        loop {
            let waiting = self.push()?;
            if ended && self.window.is_empty() && self.acker.disconnect() {
                break;
            }
            try_again_at = waiting.pause().map(|pause| {
                let soon = Instant::now() + pause;
                try_again_at.map_or(soon, |at| at.min(soon))
            });
            tokio::select! {
                biased;
                batch = self.deliveries.recv() => self.on_deliveries(batch)?,
                item = self.decoded.recv(), if !ended => ended = self.on_decoded(item),
                () = sleep_until(try_again_at.unwrap_or_else(Instant::now)), if try_again_at.is_some() => {
                    try_again_at = None;
                    self.window.resend_unconfirmed();
                }
                _ = report.tick() => {
                    self.report();
                    self.window.redate(self.clock.wall_ms());
                }
            }
        }
        self.producer.flush(limits::DISCONNECT_MAX).await?;
        self.report();
        Ok(())
    }

    /// Moves on all that can move now.
    fn push(&mut self) -> Result<Waiting, IngestError> {
        let full = self.send()?;
        let acks = self.acker.hand_over(&mut self.window);
        if let Some(fault) = self.window.fault() {
            return Err(fault_error(fault));
        }
        let window = &self.window;
        self.counts.publish(window.counts());
        self.occupancy.publish(
            window.durable_count(),
            window.released_bytes(),
            window.released_record_bytes(),
        );
        Ok(Waiting {
            records: full || self.window.has_unconfirmed(),
            acks,
        })
    }

    /// Sends until the log takes no more. Returns true when it is full.
    fn send(&mut self) -> Result<bool, IngestError> {
        while let Some((token, record)) = self.window.next_send() {
            match self.producer.send(self.stamp.message(token, record)) {
                Ok(()) => {
                    self.window.sent();
                    #[cfg(feature = "sabotage")]
                    if Rule::AcknowledgeConfirmed.is_broken() {
                        let (partition, offset) = (eventlog::PartitionId(0), 0);
                        let nowhere = eventlog::Position { partition, offset };
                        self.window.delivered(token, Ok(nowhere));
                    }
                }
                Err(SendError::Full(_)) => return Ok(true),
                Err(SendError::Fatal(error)) => return Err(IngestError::Log(error)),
            }
        }
        Ok(false)
    }

    fn on_deliveries(&mut self, first: Option<Vec<Delivery>>) -> Result<(), IngestError> {
        let first = first.ok_or_else(|| {
            IngestError::Log(LogError::Fatal {
                reason: "the log stopped reporting deliveries".into(),
            })
        })?;
        self.deliver(first);
        for _ in 1..limits::DELIVERY_BATCHES_AT_ONCE {
            let Ok(batch) = self.deliveries.try_recv() else { break };
            self.deliver(batch);
        }
        Ok(())
    }

    fn deliver(&mut self, batch: Vec<Delivery>) {
        for delivery in batch {
            self.window.delivered(delivery.token, delivery.result);
        }
    }

    /// Takes in what was decoded. Returns true when nothing more will come.
    fn on_decoded(&mut self, item: Option<Decoded>) -> bool {
        match item {
            Some(Decoded::Batch(batch)) => self.window.receive(batch),
            Some(Decoded::Connected(connection)) => {
                self.window.connected(connection.epoch);
                self.acker.connected(connection);
            }
            Some(Decoded::Ended) | None => return true,
        }
        false
    }

    /// Says how the log is, by the age of the oldest message that waits for it.
    fn report(&self) {
        let now = self.clock.monotonic();
        let oldest = self.window.oldest_received_at().unwrap_or(now);
        let waited = now.saturating_sub(oldest);
        if waited <= limits::LOG_DEAF_AFTER {
            self.health.ready();
            return;
        }
        let waited = format_duration(Duration::from_secs(waited.as_secs()));
        let count = self.window.len();
        let why = match self.window.misdated_count() {
            0 => format!("the log has not confirmed a record for {waited}"),
            _ => format!("the log refuses our time for {waited}: the clock of this machine, or of the log, is wrong"),
        };
        self.health
            .failed(format!("{why}; {count} messages wait, the broker keeps the rest"));
    }
}

impl Waiting {
    fn pause(self) -> Option<Duration> {
        match self {
            Self { acks: true, .. } => Some(limits::ACK_PAUSE),
            Self { records: true, .. } => Some(limits::RESEND_PAUSE),
            _ => None,
        }
    }
}

fn fault_error(fault: &Fault) -> IngestError {
    match fault {
        Fault::Producer(said) => IngestError::Log(LogError::Fatal { reason: said.clone() }),
        Fault::DeadLetterRefused(said) => IngestError::DeadLetterRefused { reason: said.clone() },
    }
}
