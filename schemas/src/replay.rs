//! A dead letter on its way through the front door again: what it carries as MQTT 5 user properties.
//!
//! Whoever may publish can write these properties, so they must never mean more than a device may say of itself: they
//! name an identity among the device's own events, and a time of its own.

use std::borrow::Cow;

use crate::{limits::LETTER_ID_BYTES_MAX, timestamp};

/// That a message is a dead letter published again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay<'a> {
    /// The id of the first letter: the same however often the message is refused and published again.
    pub of: Cow<'a, str>,
    /// 1 for the first time that it is published again.
    pub count: u16,
    /// When the message was first received, Unix milliseconds.
    pub received_at_ms: i64,
}

/// Names of the user properties.
pub mod property {
    /// [`super::Replay::of`].
    pub const OF: &str = "meridian-replay-of";
    /// [`super::Replay::count`], decimal.
    pub const COUNT: &str = "meridian-replay-count";
    /// [`super::Replay::received_at_ms`], decimal.
    pub const RECEIVED_AT: &str = "meridian-replay-received-at";
}

impl<'a> Replay<'a> {
    /// The properties, in a fixed order.
    #[must_use]
    pub fn properties(&self) -> [(&'static str, String); 3] {
        [
            (property::OF, self.of.to_string()),
            (property::COUNT, self.count.to_string()),
            (property::RECEIVED_AT, self.received_at_ms.to_string()),
        ]
    }

    /// Reads the properties; `find` gives the value of one. None when they are missing or malformed: the message is
    /// then one like any other.
    pub fn from_properties(find: impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
        Self::new(
            find(property::OF)?,
            find(property::COUNT)?.parse().ok()?,
            find(property::RECEIVED_AT)?.parse().ok()?,
        )
    }

    /// A replay, if the values can be one.
    #[must_use]
    pub fn new(of: &'a str, count: u16, received_at_ms: i64) -> Option<Self> {
        let is_sound = is_letter_id(of) && count > 0 && timestamp::fits_a_bucket(received_at_ms);
        is_sound.then_some(Self {
            of: of.into(),
            count,
            received_at_ms,
        })
    }

    /// The same, borrowing nothing.
    #[must_use]
    pub fn into_owned(self) -> Replay<'static> {
        Replay {
            of: self.of.into_owned().into(),
            count: self.count,
            received_at_ms: self.received_at_ms,
        }
    }
}

/// True for what can be the id of a letter: short, printable, without spaces.
#[must_use]
pub fn is_letter_id(text: &str) -> bool {
    (1..=LETTER_ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_survives_its_properties() {
        let replay = Replay::new("run-7", 2, 1_700_000_000_000).expect("sound");
        let properties = replay.properties();
        let find = |name: &str| {
            let found = properties.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.as_str())
        };
        assert_eq!(Replay::from_properties(find), Some(replay.clone()));
        assert_eq!(Replay::from_properties(|_| None), None);
    }

    #[test]
    fn malformed_properties_are_no_replay() {
        let long = "x".repeat(LETTER_ID_BYTES_MAX + 1);
        for (of, count, received_at) in [
            ("", 1, 0),
            ("a b", 1, 0),
            ("ü", 1, 0),
            (long.as_str(), 1, 0),
            ("a", 0, 0),
            ("a", 1, -1),
            ("a", 1, i64::MAX),
        ] {
            assert_eq!(Replay::new(of, count, received_at), None, "{of} {count} {received_at}");
        }
    }
}
