//! Places for live streams: so many of all, and of these so many of one share, so that nobody takes them from the others.
//!
//! A place is given back when it is dropped. Must never keep the name of a share that has none.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    api::problem::{Kind, Problem},
    limits,
};

/// Who has how many.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    count: usize,
    of_share: HashMap<String, usize>,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Places,
    share: Option<String>,
}

impl Places {
    /// A place for somebody of a share; without one, where nobody has a credential, all may be taken.
    ///
    /// # Errors
    /// When there is none left, of the share or at all.
    pub(crate) fn take(&self, share: Option<&str>) -> Result<Place, Problem> {
        let mut taken = self.taken();
        let of_share = share.and_then(|share| taken.of_share.get(share)).copied();
        if of_share.is_some_and(|count| count >= limits::LIVE_CLIENTS_OF_SHARE_MAX) {
            return Err(Problem::new(
                Kind::ShareTaken,
                format!(
                    "all {} live streams that your tenant or credential may have are open: close some, come back in a \
                     moment, or ask /api/v1/cells",
                    limits::LIVE_CLIENTS_OF_SHARE_MAX
                ),
            ));
        }
        if taken.count >= limits::LIVE_CLIENTS_MAX {
            return Err(Problem::new(
                Kind::Crowded,
                "all live streams of this server are taken; come back in a moment, or ask /api/v1/cells",
            ));
        }
        taken.count += 1;
        if let Some(share) = share {
            *taken.of_share.entry(share.to_owned()).or_default() += 1;
        }
        Ok(Place {
            places: self.clone(),
            share: share.map(str::to_owned),
        })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.count -= 1;
        let Some(share) = &self.share else { return };
        if let Some(count) = taken.of_share.get_mut(share) {
            *count -= 1;
            if *count == 0 {
                taken.of_share.remove(share);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_share_takes_the_places_of_others_and_what_is_dropped_is_free_again() {
        let places = Places::default();
        let refusal = |share| places.take(share).unwrap_err().kind;
        let of_one: Vec<Place> = (0..limits::LIVE_CLIENTS_OF_SHARE_MAX)
            .map(|_| places.take(Some("acme")).unwrap())
            .collect();
        assert_eq!(refusal(Some("acme")), Kind::ShareTaken);
        drop(places.take(Some("beta")).unwrap());
        // Without credentials nobody is told apart.
        let rest = limits::LIVE_CLIENTS_MAX - of_one.len();
        let mut of_nobody: Vec<Place> = (0..rest).map(|_| places.take(None).unwrap()).collect();
        assert_eq!((refusal(Some("beta")), refusal(None)), (Kind::Crowded, Kind::Crowded));
        of_nobody.pop();
        drop(places.take(Some("beta")).unwrap());
        drop((of_one, of_nobody));
        assert!(places.taken().count == 0 && places.taken().of_share.is_empty());
    }
}
