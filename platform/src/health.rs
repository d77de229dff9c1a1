//! Who is well and who is not: named components report their state, probes and people read it.
//!
//! Never decides anything itself: it holds what components say. Live means that the process answers; ready means that
//! every required component can do its work.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use serde_json::json;

use crate::{clock::Clock, limits::HEALTH_REASON_BYTES_MAX, units::format_duration};

/// How a component is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Not yet able to work; nothing is wrong.
    Starting,
    /// At work.
    Ready,
    /// At work, but worse than it should be, and why. Still counts as ready.
    Degraded(String),
    /// Not able to work, and why.
    Failed(String),
}

impl State {
    /// The word used in answers and metric labels.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Degraded(_) => "degraded",
            Self::Failed(_) => "failed",
        }
    }

    /// True when the component can do its work, well or badly.
    #[must_use]
    pub fn works(&self) -> bool {
        match self {
            Self::Ready | Self::Degraded(_) => true,
            Self::Starting | Self::Failed(_) => false,
        }
    }

    /// What is wrong, if something is.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Starting | Self::Ready => None,
            Self::Degraded(reason) | Self::Failed(reason) => Some(reason),
        }
    }
}

/// Whether the process is unready without a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Unready without it.
    Required,
    /// Shown, but readiness does not depend on it.
    Optional,
}

/// All components of a process. Clones are the same health.
#[derive(Clone)]
pub struct Health {
    clock: Arc<dyn Clock>,
    components: Arc<Mutex<BTreeMap<String, ComponentHealth>>>,
}

/// One component as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentHealth {
    /// Whether readiness depends on it.
    pub need: Need,
    /// How it is.
    pub state: State,
    /// Since when it is in this state (not: since the reason changed), Unix milliseconds.
    pub since_ms: i64,
}

/// All components at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthReport {
    /// Components by name.
    pub components: BTreeMap<String, ComponentHealth>,
}

/// A component's own pen: reports its state. Clones write for the same component.
#[derive(Clone, Debug)]
pub struct HealthReporter {
    name: String,
    health: Health,
}

impl Health {
    /// No components yet. A process without any is ready.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            components: Arc::default(),
        }
    }

    /// Where its times come from.
    #[must_use]
    pub fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }

    /// Adds a component, starting. A name that is already there starts anew.
    #[must_use]
    pub fn component(&self, name: &str, need: Need) -> HealthReporter {
        let component = ComponentHealth {
            need,
            state: State::Starting,
            since_ms: self.clock.wall_ms(),
        };
        self.lock().insert(name.to_owned(), component);
        HealthReporter {
            name: name.to_owned(),
            health: self.clone(),
        }
    }

    /// Everything as it is now.
    #[must_use]
    pub fn report(&self) -> HealthReport {
        HealthReport {
            components: self.lock().clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, ComponentHealth>> {
        // Every change under the lock is a single assignment, so a panicking holder leaves nothing half done.
        self.components
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Health")
            .field("components", &self.report().components)
            .finish_non_exhaustive()
    }
}

impl HealthReporter {
    /// At work.
    pub fn ready(&self) {
        self.set(State::Ready);
    }

    /// At work, but worse than it should be.
    pub fn degraded(&self, reason: impl fmt::Display) {
        self.set(State::Degraded(bounded(&reason)));
    }

    /// Not able to work.
    pub fn failed(&self, reason: impl fmt::Display) {
        self.set(State::Failed(bounded(&reason)));
    }

    /// Says the state; logs when the kind of state changed, not when only the reason did.
    pub fn set(&self, state: State) {
        let now_ms = self.health.clock.wall_ms();
        let mut components = self.health.lock();
        let component = components
            .get_mut(&self.name)
            .expect("components are added before they report and never removed");
        let before = component.state.as_str();
        let changed = before != state.as_str();
        component.state = state.clone();
        if changed {
            component.since_ms = now_ms;
        }
        drop(components);
        if changed {
            log_change(&self.name, before, &state);
        }
    }
}

fn log_change(component: &str, before: &str, state: &State) {
    let after = state.as_str();
    match state {
        State::Starting | State::Ready => {
            tracing::info!(component, before, after, "health changed");
        }
        State::Degraded(reason) | State::Failed(reason) => {
            tracing::warn!(component, before, after, reason, "health changed");
        }
    }
}

impl HealthReport {
    /// True when every required component works.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.components
            .values()
            .all(|component| component.need == Need::Optional || component.state.works())
    }

    /// The answer of probes, as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        let components: serde_json::Map<String, serde_json::Value> = self
            .components
            .iter()
            .map(|(name, component)| {
                let mut entry = json!({
                    "state": component.state.as_str(),
                    "required": component.need == Need::Required,
                    "since_ms": component.since_ms,
                });
                if let Some(reason) = component.state.reason() {
                    entry["reason"] = reason.into();
                }
                (name.clone(), entry)
            })
            .collect();
        json!({"ready": self.is_ready(), "components": components}).to_string()
    }
}

/// Notices a backing service that has not answered for too long. Pure: time is an argument, monotonic.
#[derive(Clone, Copy, Debug)]
pub struct Hearing {
    last_heard: Duration,
    deaf_after: Duration,
}

impl Hearing {
    /// Nothing heard yet, which counts as heard now: a service gets its time to answer.
    #[must_use]
    pub fn new(now: Duration, deaf_after: Duration) -> Self {
        Self {
            last_heard: now,
            deaf_after,
        }
    }

    /// The service answered.
    pub fn heard(&mut self, now: Duration) {
        self.last_heard = self.last_heard.max(now);
    }

    /// [`State::Failed`] when the service was silent for longer than allowed, else [`State::Ready`].
    #[must_use]
    pub fn state(&self, service: &str, now: Duration) -> State {
        let silent = now.saturating_sub(self.last_heard);
        if silent <= self.deaf_after {
            return State::Ready;
        }
        let silent = format_duration(Duration::from_secs(silent.as_secs()));
        State::Failed(format!("`{service}` has not answered for {silent}"))
    }
}

/// Reasons come from errors of other systems, which can be long.
fn bounded(reason: &impl fmt::Display) -> String {
    let mut text = reason.to_string();
    text.truncate(text.floor_char_boundary(HEALTH_REASON_BYTES_MAX));
    text
}

#[cfg(test)]
mod tests;
