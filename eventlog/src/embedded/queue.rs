//! What waits for the writer: messages, one lane per producer, and offsets to commit. Bounded per lane; never blocks a
//! sender.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::{
    Notify,
    mpsc::{self, OwnedPermit, error::TrySendError},
    oneshot,
};

use super::{chunk, limits, store::StoredOffset};
use crate::{Deliveries, Delivery, LogError, Message, ProducerLimits, SendError};

/// A producer's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct LaneId(u64);

#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    filled: Condvar,
}

#[derive(Default)]
struct State {
    lanes: BTreeMap<LaneId, Lane>,
    lane_count: u64,
    commits: Vec<CommitRequest>,
    waiting_bytes: usize,
    closed: bool,
    broken: Option<String>,
}

struct Lane {
    limits: ProducerLimits,
    messages: VecDeque<Message>,
    /// Accepted and not reported yet.
    in_flight_count: usize,
    in_flight_bytes: usize,
    deliveries: mpsc::Sender<Vec<Delivery>>,
    settled: Arc<Notify>,
    producer_dropped: bool,
}

/// Offsets to make durable, and whom to tell.
pub(super) struct CommitRequest {
    pub(super) offsets: Vec<StoredOffset>,
    pub(super) done: oneshot::Sender<Result<(), LogError>>,
}

/// What the writer makes durable together.
#[derive(Default)]
pub(super) struct Group {
    pub(super) lanes: Vec<GroupLane>,
    pub(super) commits: Vec<CommitRequest>,
}

/// The share of one producer in a group.
pub(super) struct GroupLane {
    pub(super) lane: LaneId,
    pub(super) messages: Vec<Message>,
    /// A slot in the report channel; none when nobody listens any more.
    pub(super) permit: Option<OwnedPermit<Vec<Delivery>>>,
}

impl Queue {
    pub(super) fn add_lane(&self, limits: ProducerLimits) -> (LaneId, Arc<Notify>, Deliveries) {
        let (deliveries, receiver) = mpsc::channel(limits::DELIVERY_BATCHES_MAX);
        let settled = Arc::<Notify>::default();
        let lane = Lane {
            limits,
            messages: VecDeque::new(),
            in_flight_count: 0,
            in_flight_bytes: 0,
            deliveries,
            settled: settled.clone(),
            producer_dropped: false,
        };
        let mut state = self.lock();
        let id = LaneId(state.lane_count);
        state.lane_count += 1;
        state.lanes.insert(id, lane);
        (id, settled, receiver)
    }

    /// The lane goes when its last message is reported.
    pub(super) fn drop_lane(&self, id: LaneId) {
        let mut state = self.lock();
        if let Some(lane) = state.lanes.get_mut(&id) {
            lane.producer_dropped = true;
            if lane.in_flight_count == 0 {
                state.lanes.remove(&id);
            }
        }
    }

    pub(super) fn push(&self, id: LaneId, message: Message) -> Result<(), SendError> {
        let bytes = chunk::encoded_len(&message);
        let mut state = self.lock();
        if let Some(reason) = &state.broken {
            let reason = reason.clone();
            return Err(SendError::Fatal(LogError::Fatal { reason }));
        }
        let state = &mut *state;
        let lane = state
            .lanes
            .get_mut(&id)
            .expect("a producer's lane lives as long as the producer");
        // One message is always taken, or one that is larger than the bound would wait for ever.
        let full = lane.in_flight_count >= lane.limits.queue_messages_max
            || (lane.in_flight_bytes + bytes > lane.limits.queue_bytes_max && lane.in_flight_count > 0);
        if full {
            return Err(SendError::Full(message));
        }
        lane.messages.push_back(message);
        lane.in_flight_count += 1;
        lane.in_flight_bytes += bytes;
        let before = state.waiting_bytes;
        state.waiting_bytes += bytes;
        let wakes = before == 0 || (before < limits::LINGER_BYTES && state.waiting_bytes >= limits::LINGER_BYTES);
        if wakes {
            self.filled.notify_one();
        }
        Ok(())
    }

    pub(super) fn push_commit(&self, request: CommitRequest) {
        let mut state = self.lock();
        if let Some(reason) = &state.broken {
            let reason = reason.clone();
            // A caller that stopped waiting needs no answer.
            drop(request.done.send(Err(LogError::Fatal { reason })));
            return;
        }
        state.commits.push(request);
        self.filled.notify_one();
    }

    pub(super) fn in_flight_count(&self, id: LaneId) -> usize {
        let state = self.lock();
        state.lanes.get(&id).map_or(0, |lane| lane.in_flight_count)
    }

    /// Waits for work, then for company. `None` once the log is closed and nothing is left.
    pub(super) fn next_group(&self, linger: Duration) -> Option<Group> {
        let mut state = self.lock();
        loop {
            while state.is_idle() {
                if state.closed {
                    return None;
                }
                state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            // Offsets do not wait: somebody stands still until they are committed.
            let waits = |state: &mut State| {
                state.waiting_bytes < limits::LINGER_BYTES && state.commits.is_empty() && !state.closed
            };
            let waited = self.filled.wait_timeout_while(state, linger, waits);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            let group = state.take_group();
            if !group.lanes.is_empty() || !group.commits.is_empty() {
                return Some(group);
            }
            if state.closed {
                return None;
            }
            // All report channels are full: look again soon, since reading them tells us nothing.
            let waited = self.filled.wait_timeout(state, limits::DELIVERY_RETRY);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The messages of a lane are reported. There is room for others before anyone can have read the report: a sender
    /// that was told to wait for it must not find the queue full, with no other report to come. And the report is there
    /// before anyone can see that nothing is in flight.
    pub(super) fn settle(&self, id: LaneId, count: usize, bytes: usize, report: impl FnOnce()) {
        let mut state = self.lock();
        let lane = state.lanes.get_mut(&id);
        let lane = lane.expect("a lane lives as long as messages of it are in flight");
        lane.in_flight_count -= count;
        lane.in_flight_bytes -= bytes;
        report();
        if lane.in_flight_count == 0 {
            lane.settled.notify_waiters();
            if lane.producer_dropped {
                state.lanes.remove(&id);
            }
        }
    }

    /// Nothing is taken from now on.
    pub(super) fn set_broken(&self, reason: String) {
        self.lock().broken = Some(reason);
    }

    /// The writer ends when the queue is empty.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_idle(&self) -> bool {
        self.waiting_bytes == 0 && self.commits.is_empty()
    }

    fn take_group(&mut self) -> Group {
        let mut group = Group {
            lanes: Vec::new(),
            commits: std::mem::take(&mut self.commits),
        };
        let mut room = limits::GROUP_BYTES_MAX;
        for (id, lane) in &mut self.lanes {
            if lane.messages.is_empty() {
                continue;
            }
            let permit = match lane.deliveries.clone().try_reserve_owned() {
                Ok(permit) => Some(permit),
                Err(TrySendError::Closed(_)) => None,
                Err(TrySendError::Full(_)) => continue,
            };
            let mut count = 0;
            let mut bytes = 0;
            for message in &lane.messages {
                // The first one always goes: a group larger than its bound is better than a message for ever stuck.
                if bytes > 0 && bytes >= room {
                    break;
                }
                bytes += chunk::encoded_len(message);
                count += 1;
            }
            room = room.saturating_sub(bytes);
            self.waiting_bytes -= bytes;
            group.lanes.push(GroupLane {
                lane: *id,
                messages: lane.messages.drain(..count).collect(),
                permit,
            });
            if room == 0 {
                break;
            }
        }
        group
    }
}
