//! Limits for each credential and each address: requests, failed logins, and open connections.
//!
//! An address is that of the other end, or what a proxy that we trust says it is. Must never believe anybody else about
//! an address, and never keep out who has a good credential because of others at the same address who have none.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::http::HeaderMap;
use platform::clock::Clock;

use super::buckets::{Buckets, Rate};
use crate::{
    api::problem::{Kind, Problem},
    limits,
};

/// How much somebody may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestLimits {
    /// Of one key, or of one subject of tokens.
    pub credential: Rate,
    /// Of one address.
    pub address: Rate,
    /// Open connections of one address.
    pub connections: usize,
    /// Who is believed about the address of others.
    pub proxies: Vec<Network>,
}

/// An address, or all that begin alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    first: IpAddr,
    bits: u8,
}

/// It is no address and no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no address; write one like `10.0.0.7` or `10.0.0.0/8`")]
pub struct NoNetwork;

impl FromStr for Network {
    type Err = NoNetwork;

    fn from_str(text: &str) -> Result<Self, NoNetwork> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse().map_err(|_| NoNetwork)?)),
            None => (text, None),
        };
        let first: IpAddr = address.parse().map_err(|_| NoNetwork)?;
        let all = if first.is_ipv4() { 32 } else { 128 };
        match bits.unwrap_or(all) {
            bits if bits <= all => Ok(Self { first, bits }),
            _ => Err(NoNetwork),
        }
    }
}

impl Network {
    fn holds(&self, address: IpAddr) -> bool {
        let is_same = |one: u128, other: u128, width: u32| {
            let rest = width - u32::from(self.bits);
            one.checked_shr(rest).unwrap_or(0) == other.checked_shr(rest).unwrap_or(0)
        };
        match (self.first, address) {
            (IpAddr::V4(one), IpAddr::V4(other)) => is_same(one.to_bits().into(), other.to_bits().into(), 32),
            (IpAddr::V6(one), IpAddr::V6(other)) => is_same(one.to_bits(), other.to_bits(), 128),
            _ => false,
        }
    }
}

impl Default for RequestLimits {
    fn default() -> Self {
        let rate = |per_second, at_once| Rate { per_second, at_once };
        Self {
            credential: rate(50, 200),
            address: rate(100, 400),
            connections: 256,
            proxies: [IpAddr::from([127, 0, 0, 1]), IpAddr::V6(Ipv6Addr::LOCALHOST)]
                .map(|first| Network {
                    first,
                    bits: if first.is_ipv4() { 32 } else { 128 },
                })
                .to_vec(),
        }
    }
}

/// Who asked how often.
pub(crate) struct Limiter {
    credentials: Mutex<Buckets<String>>,
    addresses: Mutex<Buckets<IpAddr>>,
    failures: Mutex<Buckets<IpAddr>>,
    connections: Arc<Mutex<HashMap<IpAddr, usize>>>,
    connections_max: usize,
    proxies: Vec<Network>,
    clock: Arc<dyn Clock>,
}

/// A connection that counts, until it is dropped.
#[derive(Debug)]
pub(crate) struct Counted {
    connections: Arc<Mutex<HashMap<IpAddr, usize>>>,
    address: IpAddr,
}

impl Limiter {
    pub(crate) fn new(settings: &RequestLimits, clock: Arc<dyn Clock>) -> Self {
        Self {
            credentials: Mutex::new(Buckets::new(settings.credential, limits::LIMITED_CLIENTS_MAX)),
            addresses: Mutex::new(Buckets::new(settings.address, limits::LIMITED_CLIENTS_MAX)),
            failures: Mutex::new(Buckets::new(limits::FAILED_LOGINS, limits::LIMITED_CLIENTS_MAX)),
            connections: Arc::default(),
            connections_max: settings.connections,
            proxies: settings.proxies.clone(),
            clock,
        }
    }

    /// Whose request it is: the last in the list of forwarders that we do not trust.
    pub(crate) fn address(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        let lists = headers.get_all("x-forwarded-for").iter().rev();
        let named = lists.flat_map(|list| list.to_str().unwrap_or_default().rsplit(','));
        let mut nearest = peer;
        for name in named {
            if !self.is_proxy(nearest) {
                break;
            }
            // What is no address ends what can be believed.
            let Ok(address) = name.trim().parse::<IpAddr>() else {
                break;
            };
            nearest = address.to_canonical();
        }
        grouped(nearest)
    }

    /// Counts a request of an address.
    ///
    /// # Errors
    /// When there were too many.
    pub(crate) fn count_address(&self, address: IpAddr) -> Result<(), Problem> {
        let taken = locked(&self.addresses).take(address, self.clock.monotonic());
        taken.map_err(|wait| too_many("this address", wait))
    }

    /// Counts a request of a credential.
    ///
    /// # Errors
    /// When there were too many.
    pub(crate) fn count_credential(&self, account: &str) -> Result<(), Problem> {
        let taken = locked(&self.credentials).take(account.to_owned(), self.clock.monotonic());
        taken.map_err(|wait| too_many("this credential", wait))
    }

    /// Counts a credential that was no good.
    ///
    /// # Errors
    /// When there were too many.
    pub(crate) fn count_failure(&self, address: IpAddr) -> Result<(), Problem> {
        let taken = locked(&self.failures).take(address, self.clock.monotonic());
        taken.map_err(|wait| too_many("failed attempts from this address", wait))
    }

    /// Counts a connection; none when the address has too many. Proxies have as many as they need.
    pub(crate) fn connection(&self, peer: IpAddr) -> Option<Option<Counted>> {
        let peer = peer.to_canonical();
        if peer.is_loopback() || self.is_proxy(peer) {
            return Some(None);
        }
        let address = grouped(peer);
        let mut connections = locked(&self.connections);
        let count = connections.entry(address).or_default();
        if *count >= self.connections_max {
            return None;
        }
        *count += 1;
        Some(Some(Counted {
            connections: self.connections.clone(),
            address,
        }))
    }

    fn is_proxy(&self, address: IpAddr) -> bool {
        self.proxies.iter().any(|network| network.holds(address))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut connections = locked(&self.connections);
        if let Some(count) = connections.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                connections.remove(&self.address);
            }
        }
    }
}

/// One who has an address of version 6 has 2^64 of them.
fn grouped(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

fn too_many(whose: &str, wait: Duration) -> Problem {
    let seconds = wait.as_secs() + 1;
    Problem {
        retry_after_seconds: u32::try_from(seconds).ok(),
        ..Problem::new(
            Kind::RateLimited,
            format!("too many requests: {whose}; come back in {seconds} s"),
        )
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use platform::clock::ManualClock;

    use super::*;

    fn limiter(proxies: &[&str]) -> Limiter {
        let settings = RequestLimits {
            connections: 2,
            proxies: proxies.iter().map(|text| text.parse().unwrap()).collect(),
            ..RequestLimits::default()
        };
        Limiter::new(&settings, Arc::new(ManualClock::at(0)))
    }

    fn address(limiter: &Limiter, peer: &str, forwarded: &[&'static str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", HeaderValue::from_static(value));
        }
        limiter.address(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed_about_addresses() {
        let limiter = limiter(&["127.0.0.1", "10.0.0.0/8"]);
        let check = |peer: &str, forwarded: &[&'static str], expected: &str| {
            assert_eq!(address(&limiter, peer, forwarded), expected, "{peer} {forwarded:?}");
        };
        check("192.0.2.1", &[], "192.0.2.1");
        check("192.0.2.1", &["198.51.100.9"], "192.0.2.1");
        check("127.0.0.1", &["198.51.100.9"], "198.51.100.9");
        // What a client writes in front is not what our proxy has seen.
        check("127.0.0.1", &["1.1.1.1, 198.51.100.9"], "198.51.100.9");
        check("127.0.0.1", &["1.1.1.1, 198.51.100.9, 10.2.3.4"], "198.51.100.9");
        check("127.0.0.1", &["1.1.1.1", "198.51.100.9"], "198.51.100.9");
        check("127.0.0.1", &["nonsense"], "127.0.0.1");
        check("127.0.0.1", &["10.1.1.1"], "10.1.1.1");
        check("::ffff:192.0.2.1", &[], "192.0.2.1");
        check("2001:db8:1:2:3:4:5:6", &[], "2001:db8:1:2::");
    }

    #[test]
    fn networks_are_read_and_hold_what_begins_alike() {
        for text in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "a", "10.0.0.0/", "10.0.0.0/-1"] {
            assert_eq!(text.parse::<Network>(), Err(NoNetwork), "{text}");
        }
        let holds = |network: &str, address: &str| network.parse::<Network>().unwrap().holds(address.parse().unwrap());
        assert!(holds("10.1.2.3/8", "10.255.0.1") && !holds("10.1.2.3/8", "11.0.0.1"));
        assert!(holds("0.0.0.0/0", "8.8.8.8") && !holds("0.0.0.0/0", "::1"));
        assert!(holds("::/0", "::1") && holds("::1", "::1") && !holds("::1", "::2"));
    }

    #[test]
    fn connections_of_one_address_are_bounded_and_counted_down() {
        let limiter = limiter(&["10.0.0.0/8"]);
        let connect = |peer: &str| limiter.connection(peer.parse().unwrap());
        let first = connect("192.0.2.1").unwrap();
        let _second = connect("::ffff:192.0.2.1").unwrap();
        assert!(connect("192.0.2.1").is_none() && connect("192.0.2.2").is_some());
        drop(first);
        assert!(connect("192.0.2.1").is_some());
        let many: Vec<_> = (0..10).map(|_| (connect("10.0.0.1"), connect("127.0.0.1"))).collect();
        assert!(many.iter().all(|(proxy, local)| proxy.is_some() && local.is_some()));
    }

    #[test]
    fn who_asks_too_often_is_told_when_to_come_again() {
        let limiter = limiter(&[]);
        let all = RequestLimits::default();
        for _ in 0..all.credential.at_once {
            limiter.count_credential("a").unwrap();
        }
        let refusal = limiter.count_credential("a").unwrap_err();
        assert_eq!(
            (refusal.kind, refusal.retry_after_seconds),
            (Kind::RateLimited, Some(1))
        );
        assert!(limiter.count_credential("b").is_ok());
        let peer: IpAddr = "192.0.2.1".parse().unwrap();
        for _ in 0..limits::FAILED_LOGINS.at_once {
            limiter.count_failure(peer).unwrap();
        }
        assert!(limiter.count_failure(peer).unwrap_err().retry_after_seconds.unwrap() >= 1);
        assert!(limiter.count_address(peer).is_ok(), "good requests still pass");
    }
}
