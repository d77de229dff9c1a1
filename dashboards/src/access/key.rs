//! API keys: how they are made, written and recognised.
//!
//! Pure but for the making. What is stored is a hash of a hash of the secret: the outer one so that nobody can use what is
//! stored, the inner one so that the session of a browser need not hold the key itself. Both are plain SHA-256: a slow hash
//! protects words that can be guessed, and of 256 random bits nothing can. Must never show a secret but to who made it.

use std::fmt;

use ring::{
    digest,
    rand::{SecureRandom, SystemRandom},
};
use subtle::ConstantTimeEq;

/// Begins every key, so that people and scanners of leaked secrets know one when they see it.
const KEY_PREFIX: &str = "mrd";
/// Begins what a browser holds instead of a key.
const SESSION_PREFIX: &str = "mrs";
/// Bytes that name a key: public, and enough that two never meet.
const ID_BYTES: usize = 6;
/// Bytes of the secret part: 256 bits.
const SECRET_BYTES: usize = 32;
/// Keeps the inner hash apart from all others that anybody makes of the same bytes.
const SESSION_CONTEXT: &[u8] = b"meridian session 1\0";

/// The machine has no randomness to give.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random numbers, without which no key can be made; try again")]
pub struct NoRandomness;

/// A key that was just made. Its text is shown once.
pub struct NewKey {
    id: String,
    secret: [u8; SECRET_BYTES],
}

/// What shows that somebody has a key, or a session that was opened with it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Proof {
    pub(crate) id: String,
    inner: [u8; SECRET_BYTES],
}

impl NewKey {
    /// Makes one.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn make() -> Result<Self, NoRandomness> {
        let random = SystemRandom::new();
        let mut id = [0; ID_BYTES];
        let mut secret = [0; SECRET_BYTES];
        random.fill(&mut id).map_err(|_| NoRandomness)?;
        random.fill(&mut secret).map_err(|_| NoRandomness)?;
        Ok(Self {
            id: hexadecimal(&id),
            secret,
        })
    }

    /// Its public part.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The key as whoever uses it gives it.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{KEY_PREFIX}_{}_{}", self.id, hexadecimal(&self.secret))
    }

    /// What is stored of it.
    #[must_use]
    pub fn hash(&self) -> String {
        hexadecimal(&sha256(&[&session_secret(&self.secret)]))
    }
}

impl fmt::Debug for NewKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "NewKey({})", self.id)
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Proof({})", self.id)
    }
}

impl Proof {
    /// Reads a key; none when it has not the shape of one.
    pub(crate) fn of_key(text: &str) -> Option<Self> {
        let (id, secret) = parts(text, KEY_PREFIX)?;
        Some(Self {
            id,
            inner: session_secret(&secret),
        })
    }

    /// Reads what a browser holds; none when it has not the shape of it.
    pub(crate) fn of_session(text: &str) -> Option<Self> {
        let (id, inner) = parts(text, SESSION_PREFIX)?;
        Some(Self { id, inner })
    }

    /// What a browser holds from now on.
    pub(crate) fn session(&self) -> String {
        format!("{SESSION_PREFIX}_{}_{}", self.id, hexadecimal(&self.inner))
    }

    /// Whether it is of the key whose hash is stored. Takes as long wherever they differ.
    pub(crate) fn fits(&self, hash: &[u8; 32]) -> bool {
        sha256(&[&self.inner]).ct_eq(hash).into()
    }
}

/// Reads a stored hash.
pub(crate) fn read_hash(text: &str) -> Option<[u8; 32]> {
    bytes_of(text)
}

fn session_secret(secret: &[u8; SECRET_BYTES]) -> [u8; SECRET_BYTES] {
    sha256(&[SESSION_CONTEXT, secret])
}

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    parts.iter().for_each(|part| context.update(part));
    context
        .finish()
        .as_ref()
        .try_into()
        .expect("a SHA-256 digest has 32 bytes")
}

fn parts(text: &str, prefix: &str) -> Option<(String, [u8; SECRET_BYTES])> {
    let rest = text.strip_prefix(prefix)?.strip_prefix('_')?;
    let (id, secret) = rest.split_once('_')?;
    let _is_id: [u8; ID_BYTES] = bytes_of(id)?;
    Some((id.to_owned(), bytes_of(secret)?))
}

fn hexadecimal(bytes: &[u8]) -> String {
    use fmt::Write;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
    }
    text
}

/// Bytes of as many pairs of lower-case digits, and of nothing else.
fn bytes_of<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |letter: u8| match letter {
        b'0'..=b'9' => Some(letter - b'0'),
        b'a'..=b'f' => Some(letter - b'a' + 10),
        _ => None,
    };
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
        return None;
    };
    let mut bytes = [0; N];
    if pairs.len() != N {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_and_its_session_fit_what_is_stored_and_nothing_else_does() {
        let (key, other) = (NewKey::make().unwrap(), NewKey::make().unwrap());
        let hash = read_hash(&key.hash()).unwrap();
        let proof = Proof::of_key(&key.text()).unwrap();
        assert!(proof.fits(&hash) && proof.id == key.id());
        let session = Proof::of_session(&proof.session()).unwrap();
        assert!(session.fits(&hash));
        assert!(!Proof::of_key(&other.text()).unwrap().fits(&hash));
        // A session is no key, a key is no session, and neither is in what is stored.
        assert_eq!(Proof::of_key(&proof.session()), None);
        assert_eq!(Proof::of_session(&key.text()), None);
        let stored_as_session = format!("{SESSION_PREFIX}_{}_{}", key.id(), key.hash());
        assert!(!Proof::of_session(&stored_as_session).unwrap().fits(&hash));
        assert!(!proof.session().contains(key.text().rsplit('_').next().unwrap()));
    }

    #[test]
    fn no_secret_is_ever_printed() {
        let key = NewKey::make().unwrap();
        let secret = key.text().rsplit('_').next().unwrap().to_owned();
        let proof = Proof::of_key(&key.text()).unwrap();
        let shown = format!("{key:?} {proof:?}");
        assert!(shown.contains(key.id()) && !shown.contains(&secret), "{shown}");
        assert!(!shown.contains(proof.session().rsplit('_').next().unwrap()), "{shown}");
    }

    proptest! {
        #[test]
        fn whatever_is_given_is_read_or_refused(text in "\\PC*") {
            prop_assert_eq!(Proof::of_key(&text), None);
        }

        #[test]
        fn a_key_with_one_letter_changed_does_not_fit(position in 0_usize..81, letter in "[0-9a-f_g]") {
            let key = NewKey::make().unwrap();
            let mut text = key.text();
            prop_assume!(text[position..=position] != letter);
            text.replace_range(position..=position, &letter);
            let hash = read_hash(&key.hash()).unwrap();
            let fits = Proof::of_key(&text).is_some_and(|proof| proof.id == key.id() && proof.fits(&hash));
            prop_assert!(!fits);
        }
    }
}
