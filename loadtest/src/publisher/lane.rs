//! One connection's task: takes messages from its queue, keeps the window full, reads acknowledgements, reconnects.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use platform::{retry::Backoff, shutdown::Shutdown};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rumqttc::v5::mqttbytes::v5::{Packet, PubAck, PubAckReason};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior},
};

use super::{
    BrokerAddress, Entry, Fate, Ledger, Outgoing,
    window::Window,
    wire::{Wire, WireError},
};
use crate::limits::{HOUSEKEEPING_INTERVAL, KEEP_ALIVE, STALL_MAX, WRITE_BYTES_SOFT_MAX};

/// Whether a lane stands, for those who wait for the first connection.
#[derive(Clone, Debug)]
pub(super) enum State {
    /// Not connected now; what the last try said.
    Connecting(String),
    /// Connected.
    Connected,
}

/// What a lane is made of.
pub(super) struct LaneSetup {
    pub(super) address: BrokerAddress,
    pub(super) client_id: String,
    pub(super) credentials: Option<(String, String)>,
    pub(super) inflight_max: u16,
    pub(super) keeps_entries: bool,
    pub(super) inbox: mpsc::Receiver<Outgoing>,
    pub(super) state: watch::Sender<State>,
    pub(super) acknowledged_count: Arc<AtomicU64>,
    pub(super) abandoned: Shutdown,
}

/// The task of one connection.
pub(super) struct Lane {
    setup: LaneSetup,
    window: Window,
    ledger: Ledger,
    batch: Vec<Outgoing>,
    queue_closed: bool,
}

/// How a connection's life ended.
enum End {
    /// Everything is acknowledged and nothing more will come.
    Finished,
    /// Told to leave things as they are.
    Abandoned,
}

impl Lane {
    pub(super) fn new(setup: LaneSetup) -> Self {
        Self {
            window: Window::new(setup.inflight_max),
            ledger: Ledger::new(setup.keeps_entries),
            batch: Vec::new(),
            queue_closed: false,
            setup,
        }
    }

    /// Runs until the queue is closed and everything is acknowledged, or until abandoned.
    pub(super) async fn run(mut self) -> Ledger {
        let mut delays = Backoff::for_services().delays(ChaCha8Rng::seed_from_u64(rand::random()));
        let mut was_connected = false;
        loop {
            // Only the very first connection may discard what a namesake left behind.
            let abandoned = self.setup.abandoned.clone();
            let connected = tokio::select! {
                biased;
                () = abandoned.requested() => break,
                connected = Wire::open(
                    &self.setup.address,
                    &self.setup.client_id,
                    self.setup.credentials.as_ref(),
                    !was_connected,
                ) => connected,
            };
            let outcome = match connected {
                Ok((wire, grant)) => {
                    self.ledger.reconnect_count += u64::from(was_connected);
                    was_connected = true;
                    delays.reset();
                    self.setup.state.send_replace(State::Connected);
                    self.window.connected(grant.receive_maximum);
                    self.converse(wire).await
                }
                Err(error) => Err(error),
            };
            let error = match outcome {
                Ok(End::Finished | End::Abandoned) => break,
                Err(error) => error,
            };
            tracing::debug!(client_id = self.setup.client_id, %error, "connection lost, will connect again");
            self.setup.state.send_replace(State::Connecting(error.to_string()));
            let pause = delays.next().expect("delays have no end");
            tokio::select! {
                biased;
                () = abandoned.requested() => break,
                () = tokio::time::sleep(pause) => {}
            }
        }
        self.close()
    }

    async fn converse(&mut self, mut wire: Wire) -> Result<End, WireError> {
        let abandoned = self.setup.abandoned.clone();
        let mut housekeeping = tokio::time::interval(HOUSEKEEPING_INTERVAL);
        housekeeping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut pulse = Pulse::new(Instant::now());
        loop {
            let more = self.write_due(&mut wire).await?;
            if self.queue_closed && self.window.is_empty() {
                wire.push_goodbye();
                wire.flush().await?;
                return Ok(End::Finished);
            }
            if more {
                continue;
            }
            let room = self.window.room();
            tokio::select! {
                biased;
                () = abandoned.requested() => return Ok(End::Abandoned),
                read = wire.read() => {
                    read?;
                    pulse.last_read = Instant::now();
                    while let Some(packet) = wire.take_packet()? {
                        self.take(packet)?;
                    }
                }
                taken = self.setup.inbox.recv_many(&mut self.batch, room), if room > 0 && !self.queue_closed => {
                    self.queue_closed = taken == 0;
                    self.batch.drain(..).for_each(|outgoing| self.window.admit(outgoing));
                }
                _ = housekeeping.tick() => {
                    if pulse.needs_ping(Instant::now())? {
                        wire.push_ping();
                    }
                }
            }
        }
    }

    /// Writes what the window allows, up to one write's worth. True when there is more.
    async fn write_due(&mut self, wire: &mut Wire) -> Result<bool, WireError> {
        while wire.pending_bytes() < WRITE_BYTES_SOFT_MAX {
            let Some(slot) = self.window.next_to_send() else {
                wire.flush().await?;
                return Ok(false);
            };
            if !wire.push_publish(slot) {
                let outgoing = self.window.abandon_last_sent();
                let outgoing = outgoing.expect("the slot was marked as sent a moment ago");
                self.record(&outgoing, Fate::Refused, 0);
                self.refuse("larger than the broker's maximum packet size");
            }
        }
        wire.flush().await?;
        Ok(true)
    }

    fn take(&mut self, packet: Packet) -> Result<(), WireError> {
        match packet {
            Packet::PubAck(ack) => {
                self.acknowledge(&ack);
                Ok(())
            }
            Packet::PingResp(_) => Ok(()),
            Packet::Disconnect(goodbye) => Err(WireError::Disconnected(goodbye.reason_code)),
            other => Err(WireError::Protocol(format!("{other:?}"))),
        }
    }

    fn acknowledge(&mut self, ack: &PubAck) {
        let Some((outgoing, sent_count)) = self.window.acknowledge(ack.pkid) else {
            self.ledger.unsolicited_count += 1;
            return;
        };
        let fate = match ack.reason {
            PubAckReason::Success => Fate::Acknowledged,
            PubAckReason::NoMatchingSubscribers => Fate::Unrouted,
            reason => {
                self.refuse(&format!("{reason:?}"));
                Fate::Refused
            }
        };
        self.record(&outgoing, fate, sent_count);
        self.setup.acknowledged_count.fetch_add(1, Ordering::Relaxed);
    }

    fn record(&mut self, outgoing: &Outgoing, fate: Fate, sent_count: u32) {
        let latency = match fate {
            Fate::Acknowledged | Fate::Unrouted => outgoing.intended.elapsed(),
            Fate::Refused | Fate::Unknown | Fate::Unsent => Duration::ZERO,
        };
        self.ledger.record(Entry {
            number: outgoing.number,
            fate,
            sent_count,
            latency_us: u32::try_from(latency.as_micros()).unwrap_or(u32::MAX),
        });
    }

    fn refuse(&mut self, reason: &str) {
        *self.ledger.refusals.entry(reason.to_owned()).or_default() += 1;
    }

    fn close(mut self) -> Ledger {
        let window = std::mem::replace(&mut self.window, Window::new(1));
        for (outgoing, sent_count) in window.into_open() {
            let fate = if sent_count == 0 { Fate::Unsent } else { Fate::Unknown };
            self.record(&outgoing, fate, sent_count);
        }
        while let Ok(outgoing) = self.setup.inbox.try_recv() {
            self.record(&outgoing, Fate::Unsent, 0);
        }
        self.ledger
    }
}

/// When the broker was last heard, and last pinged.
struct Pulse {
    last_read: Instant,
    last_ping: Instant,
}

impl Pulse {
    fn new(now: Instant) -> Self {
        Self {
            last_read: now,
            last_ping: now,
        }
    }

    /// True when a ping is due: twice in a keep-alive, whatever else is sent, so that silence means a dead broker.
    fn needs_ping(&mut self, now: Instant) -> Result<bool, WireError> {
        if now - self.last_read >= STALL_MAX {
            return Err(WireError::Silent(STALL_MAX));
        }
        let due = now - self.last_ping >= KEEP_ALIVE / 2;
        if due {
            self.last_ping = now;
        }
        Ok(due)
    }
}
