//! Dead letters against the poison that was published: exactly that, each with its reason.

use std::collections::HashMap;

use bytes::Bytes;

use super::{
    event::Promise,
    verdict::{DeadLetterCounts, Difference},
};
use crate::{limits::DIFFERENCES_SHOWN_MAX, poison::PoisonKind};

/// One publication of a bad message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentPoison {
    /// MQTT topic.
    pub topic: Bytes,
    /// Payload.
    pub payload: Bytes,
    /// Which rule it breaks.
    pub kind: PoisonKind,
    /// What follows from what became of it.
    pub promise: Promise,
    /// How often it was written to a connection: after a reconnect, a broker may deliver it more than once.
    pub sent_count: u32,
}

/// A dead letter that is new since the run began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredLetter {
    /// MQTT topic.
    pub topic: Bytes,
    /// The original bytes.
    pub payload: Bytes,
    /// Why it was refused.
    pub reason: String,
}

/// Compares dead letters with poison, as multisets of topic and payload.
#[must_use]
pub fn compare_dead_letters(
    tenant: &str,
    poison: &[SentPoison],
    stored: &[StoredLetter],
) -> (DeadLetterCounts, Vec<Difference>) {
    let mut found: HashMap<(&Bytes, &Bytes), Vec<&StoredLetter>> = HashMap::new();
    for letter in stored {
        found.entry((&letter.topic, &letter.payload)).or_default().push(letter);
    }
    let mut counts = DeadLetterCounts {
        expected: poison.iter().filter(|sent| sent.promise == Promise::Must).count() as u64,
        stored: stored.len() as u64,
        ..DeadLetterCounts::default()
    };
    let mut differences = Vec::new();
    for sent in poison {
        let letters = found.remove(&(&sent.topic, &sent.payload)).unwrap_or_default();
        let mut differs = |check, detail: String| {
            let topic = String::from_utf8_lossy(&sent.topic);
            differences.push(Difference::new(check, format!("{:?} on `{topic}`", sent.kind), detail));
        };
        if letters.is_empty() && sent.promise == Promise::Must {
            counts.missing += 1;
            differs("missing dead letter", "acknowledged and nowhere to be found".to_owned());
        }
        let allowed = if sent.promise == Promise::Never {
            0
        } else {
            sent.sent_count as usize
        };
        if letters.len() > allowed {
            counts.repeated += (letters.len() - allowed) as u64;
            differs("repeated dead letter", format!("{} times", letters.len()));
        }
        let reason = sent.kind.reason().as_str();
        if let Some(other) = letters.iter().find(|letter| letter.reason != reason) {
            counts.misjudged += 1;
            differs(
                "reason of dead letter",
                format!("is `{}`, should be `{reason}`", other.reason),
            );
        }
    }
    let prefix = format!("telemetry/{tenant}/");
    for ((topic, payload), letters) in found {
        // Other fleets lose their tenant too: their letters are not ours to judge.
        if !topic.starts_with(prefix.as_bytes()) {
            counts.stored -= letters.len() as u64;
            continue;
        }
        counts.unexpected += letters.len() as u64;
        let head = String::from_utf8_lossy(&payload[..payload.len().min(100)]).into_owned();
        let subject = format!("`{}` on `{}`", letters[0].reason, String::from_utf8_lossy(topic));
        differences.push(Difference::new("dead letter of a good message", subject, head));
    }
    differences.sort();
    differences.truncate(DIFFERENCES_SHOWN_MAX);
    (counts, differences)
}
