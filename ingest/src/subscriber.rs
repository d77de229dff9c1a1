//! Keeps one connection to a broker up and takes in what it delivers. The only stage that reads from the network.
//!
//! Nothing else is awaited where the connection is read, other than the pause of a full window: a slow log must not
//! cost us the connection. A connection is dropped as a whole and never mended.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
#[cfg(feature = "sabotage")]
use platform::sabotage::Rule;
use platform::{
    clock::Clock,
    health::HealthReporter,
    retry::{Backoff, Delays},
    shutdown::Shutdown,
};
use rand::{SeedableRng, rngs::StdRng};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};

#[cfg(feature = "sabotage")]
use crate::message::Ack;
use crate::{
    IngestError,
    bridge::{
        Session,
        pressure::{Pressure, may_return, pressure},
    },
    config::{Filter, WindowSettings},
    ledger::ConnectionCounts,
    limits,
    message::{Connected, Intake, Publish, Received},
    occupancy::Occupancy,
    source::{Link, PublishSource, SourceError, SourceEvent},
};

/// Keeps a connection up and reads it.
pub(crate) struct Subscriber<S> {
    pub(crate) source: S,
    pub(crate) broker: String,
    pub(crate) filters: Vec<Filter>,
    pub(crate) keep_alive: Duration,
    pub(crate) shutdown: Shutdown,
    /// Decides the pauses between tries.
    pub(crate) seed: u64,
    pub(crate) reader: Reader,
}

/// Takes in what a connection delivers.
pub(crate) struct Reader {
    pub(crate) window: WindowSettings,
    /// A payload above is cut at once: neither decoded nor put into a dead letter whole.
    pub(crate) whole_payload_bytes_max: usize,
    pub(crate) occupancy: Arc<Occupancy>,
    pub(crate) counts: Arc<ConnectionCounts>,
    pub(crate) health: HealthReporter,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) intake: mpsc::Sender<Intake>,
    /// Messages received, over all connections of this client.
    pub(crate) received_count: u64,
    /// The same over earlier connections.
    pub(crate) received_before: u64,
    pub(crate) session: Session,
    pub(crate) received_at_ms: i64,
    /// Read and not handed over yet.
    pub(crate) batch: Vec<Received>,
}

/// What the reading of a connection and those who watch over it tell each other.
#[derive(Default)]
struct Signs {
    /// Something happened on the connection since this was last looked at.
    heard: AtomicBool,
    /// The broker greeted us on this connection.
    greeted: AtomicBool,
    /// Nothing more is to be taken in; acknowledgements still go out.
    stopping: AtomicBool,
}

impl<S: PublishSource> Subscriber<S> {
    /// Runs until shutdown is requested and the last acknowledgement has left.
    pub(crate) async fn run(mut self) -> Result<(), IngestError> {
        let mut delays = backoff().delays(StdRng::seed_from_u64(self.seed));
        let mut failed_count: u64 = 0;
        let signs = Signs::default();
        while !self.shutdown.is_requested() {
            signs.greeted.store(false, Relaxed);
            let started = Instant::now();
            let Err(error) = self.connection(&signs).await else {
                break;
            };
            if signs.stopping.load(Relaxed) {
                break;
            }
            if signs.greeted.load(Relaxed) {
                failed_count = 0;
            }
            if started.elapsed() >= limits::STABLE_CONNECTION {
                delays.reset();
            }
            failed_count += 1;
            self.say_failed(&error, failed_count);
            self.pause(&mut delays).await;
        }
        if !signs.stopping.load(Relaxed) {
            // Cannot fail in a way that matters: without a decoder the role is ending anyway.
            let _ = self.reader.intake.send(Intake::Ended).await;
        }
        Ok(())
    }

    /// One connection, from greeting to end. Ok when it ended by our goodbye.
    async fn connection(&mut self, signs: &Signs) -> Result<(), SourceError> {
        let mut link = self.source.open();
        let intake = self.reader.intake.clone();
        let reading = self.reader.read(&mut link, &self.filters, signs);
        tokio::pin!(reading);
        let mut watch = interval(self.keep_alive / 4);
        watch.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let silent_max = self.keep_alive * limits::SILENT_KEEP_ALIVES;
        let mut heard_at = Instant::now();
        loop {
            tokio::select! {
                // The order is fixed, so that a simulation that is run again takes the same turns. Reading waits
                // often enough for the others to get theirs.
                biased;
                ended = &mut reading => return ended,
                () = self.shutdown.requested(), if !signs.stopping.load(Relaxed) => {
                    signs.stopping.store(true, Relaxed);
                    // The decoder never waits for this task, so waiting for room here ends.
                    let _ = intake.send(Intake::Ended).await;
                    if !signs.greeted.load(Relaxed) {
                        return Ok(());
                    }
                }
                _ = watch.tick() => {
                    if signs.heard.swap(false, Relaxed) {
                        heard_at = Instant::now();
                    } else if heard_at.elapsed() >= silent_max {
                        let seconds = silent_max.as_secs();
                        return Err(SourceError::new(format!("no sign of life for {seconds} s")));
                    }
                }
            }
        }
    }

    async fn pause(&mut self, delays: &mut Delays<StdRng>) {
        let pause = delays.next().expect("delays have no end");
        let room = async {
            sleep(pause).await;
            while !self.reader.may_return() {
                let _ = timeout(limits::FULL_WINDOW_PAUSE, self.reader.occupancy.released_some()).await;
            }
        };
        tokio::select! {
            biased;
            () = self.shutdown.requested() => {}
            () = room => {}
        }
    }

    /// Says the first failure aloud, and the further ones of the same outage quietly.
    fn say_failed(&self, error: &SourceError, failed_count: u64) {
        let broker = &self.broker;
        self.reader.health.failed(format!("broker `{broker}`: {error}"));
        if failed_count == 1 {
            tracing::warn!(broker, %error, "connection to the mqtt broker failed, will try again until it is back");
        } else {
            tracing::debug!(broker, %error, failed_count, "connection to the mqtt broker failed again");
        }
    }
}

impl Reader {
    async fn read<L: Link>(&mut self, link: &mut L, filters: &[Filter], signs: &Signs) -> Result<(), SourceError> {
        let ended = self.read_events(link, filters, signs).await;
        for publish in link.leftovers() {
            if !signs.stopping.load(Relaxed) {
                self.take_in(publish);
            }
        }
        self.hand_over_batch().and(ended)
    }

    async fn read_events<L: Link>(
        &mut self,
        link: &mut L,
        filters: &[Filter],
        signs: &Signs,
    ) -> Result<(), SourceError> {
        loop {
            if !signs.stopping.load(Relaxed) {
                self.hold().await?;
            }
            if self.batch.len() >= limits::READ_BATCH_MESSAGES || !link.has_more() {
                self.hand_over_batch()?;
            }
            let event = link.next().await?;
            signs.heard.store(true, Relaxed);
            match event {
                SourceEvent::Publish(publish) => {
                    #[cfg(feature = "sabotage")]
                    if Rule::AcknowledgeStored.is_broken() {
                        let (packet_id, qos) = (publish.packet_id, publish.qos);
                        let epoch = self.session.epoch();
                        let _ = link.acks().try_ack(Ack { epoch, packet_id, qos });
                    }
                    // Not acknowledged, so the broker sends it to whoever comes after us.
                    if !signs.stopping.load(Relaxed) {
                        self.take_in(publish);
                    }
                }
                SourceEvent::Connected { session_present } => {
                    signs.greeted.store(true, Relaxed);
                    self.connected(link, filters, session_present)?;
                }
                SourceEvent::Subscribed => {
                    self.session.subscribed();
                    self.health.ready();
                }
                SourceEvent::Disconnecting => {
                    // Closing while something is unread would reset the connection, and take our last
                    // acknowledgements with it: the broker closes first.
                    let closed = async { while link.next().await.is_ok() {} };
                    let _ = timeout(limits::DISCONNECT_MAX, closed).await;
                    return Ok(());
                }
                SourceEvent::Other => {}
            }
        }
    }

    fn connected<L: Link>(&mut self, link: &L, filters: &[Filter], session_present: bool) -> Result<(), SourceError> {
        let welcome = self.session.connected(session_present);
        self.received_before = self.received_count;
        self.counts.connections.fetch_add(1, Relaxed);
        self.hand_over(Intake::Connected(Connected {
            epoch: welcome.epoch,
            acks: link.acks(),
        }))?;
        if welcome.gap {
            self.counts.session_gaps.fetch_add(1, Relaxed);
            tracing::error!("the mqtt broker lost our session: messages published since may be lost at the broker");
        }
        tracing::info!(
            connection = welcome.epoch.0,
            session_present,
            "connected to the mqtt broker"
        );
        if welcome.subscribe {
            link.subscribe(filters)
        } else {
            self.health.ready();
            Ok(())
        }
    }

    /// Waits while the window is full, but never so long that the connection would suffer.
    async fn hold(&mut self) -> Result<(), SourceError> {
        match self.pressure() {
            Pressure::Open => {}
            Pressure::Slow => {
                // What was read must not wait for room that only its own way through the log can make.
                self.hand_over_batch()?;
                let room = async {
                    while self.pressure() != Pressure::Open {
                        self.occupancy.released_some().await;
                    }
                };
                let _ = timeout(limits::FULL_WINDOW_PAUSE, room).await;
            }
            Pressure::HangUp => {
                return Err(SourceError::new(
                    "hung up, since more is on its way than the window holds; the log is too slow",
                ));
            }
        }
        Ok(())
    }

    fn pressure(&self) -> Pressure {
        let (messages, bytes) = self.occupancy.on_the_way();
        pressure(self.window, messages, bytes)
    }

    fn may_return(&self) -> bool {
        let (messages, bytes) = self.occupancy.on_the_way();
        may_return(self.window, messages, bytes)
    }

    fn take_in(&mut self, mut publish: Publish) {
        self.received_at_ms = received_at_ms(self.received_at_ms, self.clock.wall_ms());
        let payload_bytes = publish.payload.len();
        if payload_bytes > self.whole_payload_bytes_max {
            // A copy, so that the rest is freed now.
            publish.payload = Bytes::copy_from_slice(&publish.payload[..limits::CUT_PAYLOAD_BYTES.min(payload_bytes)]);
        }
        let redelivered = publish.redelivered;
        self.received_count += 1;
        let received = Received {
            publish,
            payload_bytes,
            epoch: self.session.epoch(),
            number: self.received_count,
            number_on_connection: self.received_count - self.received_before,
            received_at_ms: self.received_at_ms,
            received_at: self.clock.monotonic(),
        };
        self.occupancy.taken(received.cost_bytes());
        self.counts.received.fetch_add(1, Relaxed);
        if redelivered {
            self.counts.redelivered.fetch_add(1, Relaxed);
        }
        self.batch.push(received);
    }

    fn hand_over_batch(&mut self) -> Result<(), SourceError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let room = self.batch.len().max(4);
        let batch = std::mem::replace(&mut self.batch, Vec::with_capacity(room));
        self.hand_over(Intake::Received(batch))
    }

    fn hand_over(&self, item: Intake) -> Result<(), SourceError> {
        self.intake
            .try_send(item)
            .map_err(|_| SourceError::new("the decoder has no room left, or has ended"))
    }
}

/// The time of receipt: that of the wall clock, where it does not step back by a little.
fn received_at_ms(before_ms: i64, wall_ms: i64) -> i64 {
    if wall_ms < before_ms && before_ms - wall_ms < limits::CLOCK_STEP_BACK_MS_MAX {
        return before_ms;
    }
    wall_ms
}

fn backoff() -> Backoff {
    Backoff {
        initial: limits::RECONNECT_PAUSE_MIN,
        max: limits::RECONNECT_PAUSE_MAX,
        multiplier: 2.0,
        jitter: 0.5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_receipt_waits_for_a_clock_that_is_set_and_leaves_one_that_was_wrong() {
        assert_eq!(received_at_ms(0, 1_700_000_000_000), 1_700_000_000_000);
        assert_eq!(received_at_ms(1_700_000_000_000, 1_700_000_000_001), 1_700_000_000_001);
        assert_eq!(received_at_ms(1_700_000_000_000, 1_699_999_999_000), 1_700_000_000_000);
        assert_eq!(received_at_ms(1_700_007_200_000, 1_700_000_000_000), 1_700_000_000_000);
    }
}
