//! Whose query is next: places at the store, shared among tenants, and those who look on before those who take away.
//!
//! Live maps come first, then what a person waits for, then exports; within a class, who came first. No tenant and no
//! export can take all places, and two places are left to live maps at any time. Must never hand a place to somebody who
//! has gone away.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::oneshot, time::timeout};

use super::problem::{Kind, Problem};
use crate::limits;

/// How urgent a query is; the most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// What live maps are made of: many wait for one reading.
    Live,
    /// What a person waits for.
    View,
    /// Tables for programs.
    Export,
}

impl Class {
    fn places_max(self) -> usize {
        match self {
            Self::Live => limits::QUERIES_MAX,
            Self::View => limits::VIEW_QUERIES_MAX,
            Self::Export => limits::EXPORT_QUERIES_MAX,
        }
    }

    fn wait_max(self) -> Duration {
        match self {
            Self::Live => limits::ANSWER_WAIT_MAX,
            Self::View => limits::QUEUE_WAIT_MAX,
            Self::Export => limits::EXPORT_WAIT_MAX,
        }
    }
}

/// All places.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    running: usize,
    by_class: BTreeMap<Class, usize>,
    by_tenant: HashMap<String, usize>,
    waiting: BTreeMap<(Class, u64), Waiter>,
    next: u64,
}

#[derive(Debug)]
struct Waiter {
    tenant: String,
    sender: oneshot::Sender<Place>,
}

/// A place at the store, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    turns: Arc<Turns>,
    class: Class,
    tenant: String,
}

/// Leaves the queue when whoever waits goes away.
struct Ticket<'a> {
    turns: &'a Turns,
    number: (Class, u64),
}

impl Turns {
    /// A place, when it is our turn.
    ///
    /// # Errors
    /// When too many wait, or it takes too long.
    pub(crate) async fn take(self: &Arc<Self>, class: Class, tenant: &str) -> Result<Place, Problem> {
        let (ticket, receiver) = {
            let mut state = self.state();
            if state.has_place(class, tenant) {
                state.enter(class, tenant);
                return Ok(self.place(class, tenant.to_owned()));
            }
            let number = (class, state.next);
            if state.waiting.len() >= limits::QUEUE_MAX || state.waiting_of(tenant) >= limits::TENANT_QUEUE_MAX {
                return Err(busy());
            }
            state.next += 1;
            let (sender, receiver) = oneshot::channel();
            let tenant = tenant.to_owned();
            state.waiting.insert(number, Waiter { tenant, sender });
            (Ticket { turns: self, number }, receiver)
        };
        let granted = timeout(class.wait_max(), receiver).await;
        drop(ticket);
        match granted {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) | Err(_) => Err(busy()),
        }
    }

    /// Whether a query would have to wait.
    pub(crate) fn is_busy(&self, class: Class, tenant: &str) -> bool {
        !self.state().has_place(class, tenant)
    }

    /// How many people wait because the store is taken, and not because their own tenant has all that it may have: one
    /// that asks too much must not count against the others. Without credentials nobody is told apart, and all count.
    pub(crate) fn waiting(&self) -> usize {
        let state = self.state();
        let people = state.waiting.range(..(Class::Export, 0));
        people
            .filter(|((class, _), waiter)| waiter.tenant.is_empty() || state.has_share(*class, &waiter.tenant))
            .count()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(self: &Arc<Self>, class: Class, tenant: String) -> Place {
        Place {
            turns: self.clone(),
            class,
            tenant,
        }
    }

    /// Gives what is free to those who wait.
    fn grant(self: &Arc<Self>) {
        let mut gone = Vec::new();
        {
            let mut state = self.state();
            while let Some(number) = state.first_in_turn() {
                let waiter = state.waiting.remove(&number).expect("it was just found");
                state.enter(number.0, &waiter.tenant);
                let place = self.place(number.0, waiter.tenant);
                // A place that nobody takes comes back when it is dropped, which needs the lock that is held here.
                gone.extend(waiter.sender.send(place).err());
            }
        }
        drop(gone);
    }
}

impl State {
    fn has_place(&self, class: Class, tenant: &str) -> bool {
        let of_class: usize = self.by_class.range(class..).map(|(_, count)| count).sum();
        self.running < limits::QUERIES_MAX && self.has_share(class, tenant) && of_class < class.places_max()
    }

    fn has_share(&self, class: Class, tenant: &str) -> bool {
        let of_tenant = self.by_tenant.get(tenant).copied().unwrap_or(0);
        class == Class::Live || of_tenant < limits::TENANT_QUERIES_MAX
    }

    fn waiting_of(&self, tenant: &str) -> usize {
        self.waiting.values().filter(|waiter| waiter.tenant == tenant).count()
    }

    fn first_in_turn(&self) -> Option<(Class, u64)> {
        let mut waiting = self.waiting.iter();
        let first = waiting.find(|((class, _), waiter)| self.has_place(*class, &waiter.tenant));
        first.map(|(number, _)| *number)
    }

    fn enter(&mut self, class: Class, tenant: &str) {
        self.running += 1;
        *self.by_class.entry(class).or_default() += 1;
        *self.by_tenant.entry(tenant.to_owned()).or_default() += 1;
    }

    fn leave(&mut self, class: Class, tenant: &str) {
        self.running -= 1;
        *self.by_class.entry(class).or_default() -= 1;
        if let Some(count) = self.by_tenant.get_mut(tenant) {
            *count -= 1;
            if *count == 0 {
                self.by_tenant.remove(tenant);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.turns.state().leave(self.class, &self.tenant);
        self.turns.grant();
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.turns.state().waiting.remove(&self.number);
    }
}

fn busy() -> Problem {
    Problem::new(Kind::Busy, "too many queries are waiting; come back in a moment")
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    async fn fill(turns: &Arc<Turns>) -> Vec<Place> {
        let mut places = Vec::new();
        for tenant in ["a", "b"] {
            while !turns.is_busy(Class::View, tenant) {
                places.push(turns.take(Class::View, tenant).await.unwrap());
            }
        }
        while !turns.is_busy(Class::Live, "c") {
            places.push(turns.take(Class::Live, "c").await.unwrap());
        }
        assert_eq!(places.len(), limits::QUERIES_MAX);
        places
    }

    #[tokio::test(start_paused = true)]
    async fn one_place_goes_to_the_most_urgent() {
        let turns = Arc::new(Turns::default());
        let mut places = fill(&turns).await;
        let (export, view, live) = (
            turns.take(Class::Export, "d"),
            turns.take(Class::View, "d"),
            turns.take(Class::Live, "d"),
        );
        let (mut export, mut view, mut live) = (Box::pin(export), Box::pin(view), Box::pin(live));
        assert!(export.as_mut().now_or_never().is_none());
        assert!(view.as_mut().now_or_never().is_none());
        assert!(live.as_mut().now_or_never().is_none());
        drop(places.remove(0));
        let live = live.now_or_never().expect("it is its turn").unwrap();
        assert!(view.as_mut().now_or_never().is_none() && export.as_mut().now_or_never().is_none());
        drop(live);
        let view = view.now_or_never().expect("then the view").unwrap();
        assert!(export.as_mut().now_or_never().is_none());
        drop(view);
        assert!(export.now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn no_tenant_and_no_export_takes_all_places() {
        let turns = Arc::new(Turns::default());
        let mut places = Vec::new();
        while !turns.is_busy(Class::View, "greedy") {
            places.push(turns.take(Class::View, "greedy").await.unwrap());
        }
        assert_eq!(places.len(), limits::TENANT_QUERIES_MAX);
        assert!(!turns.is_busy(Class::View, "other") && !turns.is_busy(Class::Live, "greedy"));
        drop(places);
        let mut places = Vec::new();
        for tenant in ["a", "b", "c", "d", "e", "f"] {
            while !turns.is_busy(Class::Export, tenant) {
                places.push(turns.take(Class::Export, tenant).await.unwrap());
            }
        }
        assert_eq!(places.len(), limits::EXPORT_QUERIES_MAX);
        assert!(!turns.is_busy(Class::View, "a"));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_its_own_share_does_not_count_as_waiting_for_the_store() {
        let turns = Arc::new(Turns::default());
        let mut places = Vec::new();
        while !turns.is_busy(Class::View, "greedy") {
            places.push(turns.take(Class::View, "greedy").await.unwrap());
        }
        let mut own: Vec<_> = (0..20).map(|_| Box::pin(turns.take(Class::View, "greedy"))).collect();
        let mut exports: Vec<_> = (0..20).map(|_| Box::pin(turns.take(Class::Export, "other"))).collect();
        assert!(own.iter_mut().all(|one| one.as_mut().now_or_never().is_none()));
        let begun: Vec<_> = exports
            .iter_mut()
            .filter_map(|one| one.as_mut().now_or_never())
            .collect();
        assert!(begun.len() < 20, "some wait");
        assert_eq!(turns.waiting(), 0);
        while !turns.is_busy(Class::View, "other") {
            places.push(turns.take(Class::View, "other").await.unwrap());
        }
        let mut third = Box::pin(turns.take(Class::View, "third"));
        assert!(third.as_mut().now_or_never().is_none());
        assert_eq!(turns.waiting(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_too_long_or_goes_away_leaves_nothing_behind() {
        let turns = Arc::new(Turns::default());
        let places = fill(&turns).await;
        assert_eq!(turns.take(Class::View, "d").await.unwrap_err().kind, Kind::Busy);
        let mut gone = Box::pin(turns.take(Class::View, "d"));
        assert!(gone.as_mut().now_or_never().is_none());
        assert_eq!(turns.state().waiting.len(), 1);
        drop(gone);
        assert_eq!(turns.state().waiting.len(), 0);
        // The place was given, and nobody came to take it.
        let mut late = Box::pin(turns.take(Class::View, "d"));
        assert!(late.as_mut().now_or_never().is_none());
        drop(places);
        drop(late);
        assert_eq!(turns.state().waiting.len(), 0);
        assert_eq!(turns.state().running, 0);
        let all = fill(&turns).await;
        assert_eq!(all.len(), limits::QUERIES_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn the_queue_is_bounded_for_each_tenant_and_for_all() {
        let turns = Arc::new(Turns::default());
        let places = fill(&turns).await;
        let mut waiting = Vec::new();
        let mut refused = 0;
        for tenant in 0..limits::QUEUE_MAX {
            for _ in 0..=limits::TENANT_QUEUE_MAX {
                let mut one = Box::pin({
                    let turns = turns.clone();
                    async move { turns.take(Class::View, &format!("tenant {tenant}")).await }
                });
                match one.as_mut().now_or_never() {
                    None => waiting.push(one),
                    Some(answer) => refused += usize::from(answer.is_err()),
                }
            }
        }
        assert_eq!(waiting.len(), limits::QUEUE_MAX);
        assert_eq!(turns.state().waiting.len(), limits::QUEUE_MAX);
        assert!(refused > 0);
        drop(places);
    }
}
