//! Tokens of an issuer of our own: what is believed, and everything that is not.

use std::fs;

use platform::clock::ManualClock;
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};
use serde_json::json;
use tempfile::TempDir;

use super::*;

const NOW_S: i64 = 1_800_000_000;

/// A key of 2,048 bits whose private half was thrown away, and what it signed: valid until 2100.
const RSA_MODULUS: &str = "vHJ3Zh68NJdGkC25WQTgF44Z0y0q11Gs5fv_R06eyA386CS5Hu1kBSmcPp24ZTW_sLR_1IHRVZZQeqzIatPo-9Qj4S\
    9GU2bPQnBPYQ7vyNBYBa-oufbgzmc2bfY-kxdOz0s7d9vvA5uQhbwwbJ_xiOejNjSAE5Rx5ItCBXZlg1qZdXHhX093\
    PdG6xR4fwFkYajbnodq4ul6PlPDjyKUnNe5Wl5HM2AphXgy6cvKkvD7S8qKz369QSXZebc_zmfOCK6KB2S4BTTsqQW\
    luT9uRSrb0GnT0spVRtkxtLNKqNbHvVvFSVDIe6poUT7dJ0c1UoDZC5QTHhBrROWSmm-cHeQ";
const RSA_TOKEN: &str = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6InJzYSJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtc\
    GxlIiwiYXVkIjoibWVyaWRpYW4iLCJleHAiOjQxMDI0NDQ4MDAsInN1YiI6InNvbWVib2R5IiwidGVuYW50IjoiYWN\
    tZSJ9.IvzaCRl8RehcVq6Z7iwClTTlkHjZSM_ZId2pCTirbOwKcZjNThgjXU47Ll_8Tyu0qJKaPL1G4DhBmkSIVnGd\
    Rsb9Kg178Tf9RRgniBHrF-kezuOHIoF9LoZNGkwcz3gxhxaaDISLH7sALJXSr3HSjuIPqzKFuL7WXhIVqzNqA1awgp\
    GDjF-seaVKGpF2EAjFFDTgkk1Q-VAbXLzNfq5FHKvQLGkA7tevctat_55oJBGgKUESrxDAbihwiHiHD8aWgiynqDon\
    x5cpDCUKFWIIQF0fhgYOB3sw46sxQBqbRxFjAdJ921iqqP1tTkUYaovD-oI0bhd4fANEeIwu8vGMXg";

/// Base64 as tokens have it.
fn encoded(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let number = chunk.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            text.push(LETTERS[(number >> (18 - 6 * place) & 63) as usize] as char);
        }
    }
    text
}

enum Signer {
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

impl Signer {
    fn ec() -> Self {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random);
        Self::Ec(pair.unwrap())
    }

    fn ed() -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::Ed(Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap())
    }

    fn published(&self, name: &str) -> Value {
        match self {
            Self::Ec(pair) => {
                let point = pair.public_key().as_ref();
                let (x, y) = (encoded(&point[1..33]), encoded(&point[33..]));
                json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": name, "use": "sig", "alg": "ES256"})
            }
            Self::Ed(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": encoded(pair.public_key().as_ref()), "kid": name})
            }
        }
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = format!(
            "{}.{}",
            encoded(header.to_string().as_bytes()),
            encoded(claims.to_string().as_bytes())
        );
        let signature = match self {
            Self::Ec(pair) => pair
                .sign(&SystemRandom::new(), message.as_bytes())
                .unwrap()
                .as_ref()
                .to_vec(),
            Self::Ed(pair) => pair.sign(message.as_bytes()).as_ref().to_vec(),
        };
        format!("{message}.{}", encoded(&signature))
    }
}

struct Issuer {
    folder: TempDir,
    clock: Arc<ManualClock>,
    tokens: Tokens,
}

impl Issuer {
    fn new(signings: &[Signing]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(NOW_S * 1_000));
        let settings = TokenSettings {
            keys: KeySource::File(folder.path().join("keys.json")),
            ca_file: None,
            issuer: "https://issuer.example".to_owned(),
            audience: "meridian".to_owned(),
            signings: signings.to_vec(),
            tenant_claim: "tenant".to_owned(),
            scope_claim: Some("scope".to_owned()),
        };
        let tokens = Tokens::new(settings, clock.clone());
        Self { folder, clock, tokens }
    }

    fn publish(&self, keys: &[Value]) {
        fs::write(self.folder.path().join("keys.json"), json!({"keys": keys}).to_string()).unwrap();
    }

    async fn detail(&self, token: &str) -> String {
        self.tokens.grant(token).await.unwrap_err().detail
    }
}

fn claims() -> Value {
    json!({
        "iss": "https://issuer.example", "aud": "meridian", "exp": NOW_S + 100, "sub": "somebody", "tenant": "acme",
        "scope": "openid read live",
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

fn header(algorithm: &str, name: &str) -> Value {
    json!({"alg": algorithm, "typ": "JWT", "kid": name})
}

#[tokio::test]
async fn a_good_token_says_who_asks_whichever_way_it_is_signed() {
    let issuer = Issuer::new(&[Signing::Rs256, Signing::Es256, Signing::EdDsa]);
    let (ec, ed) = (Signer::ec(), Signer::ed());
    let rsa = json!({"kty": "RSA", "n": RSA_MODULUS, "e": "AQAB", "kid": "rsa"});
    let unknown = json!({"kty": "quantum", "kid": "later"});
    issuer.publish(&[unknown, ec.published("ec"), ed.published("ed"), rsa]);
    for token in [
        ec.sign(&header("ES256", "ec"), &claims()),
        ed.sign(&header("EdDSA", "ed"), &claims()),
    ] {
        assert!(is_token(&token));
        let grant = issuer.tokens.grant(&token).await.unwrap();
        assert_eq!(grant.tenants, Tenants::These(["acme".to_owned()].into()));
        assert_eq!(grant.scopes, [Scope::Read, Scope::Live].into());
        assert_eq!(
            (grant.name.as_str(), grant.expires_ms),
            ("somebody", Some((NOW_S + 160) * 1_000))
        );
    }
    let grant = issuer.tokens.grant(RSA_TOKEN).await.unwrap();
    assert!(grant.tenants == Tenants::These(["acme".to_owned()].into()) && grant.scopes.is_empty());
    let changed = format!(
        "{}A{}",
        &RSA_TOKEN[..RSA_TOKEN.len() - 9],
        &RSA_TOKEN[RSA_TOKEN.len() - 8..]
    );
    assert!(issuer.detail(&changed).await.contains("signature"));
    // A token without a name means the only key of its kind.
    let unnamed = ed.sign(&json!({"alg": "EdDSA"}), &claims());
    assert!(issuer.tokens.grant(&unnamed).await.is_ok());
}

#[tokio::test]
async fn a_token_that_is_not_ours_is_refused_and_says_why() {
    let issuer = Issuer::new(&[Signing::Es256]);
    let (ec, other) = (Signer::ec(), Signer::ec());
    issuer.publish(&[ec.published("ec")]);
    let good = header("ES256", "ec");
    for (claims, why) in [
        (with("iss", json!("https://other.example")), "`iss`"),
        (with("iss", json!(["https://issuer.example"])), "`iss`"),
        (without("iss"), "`iss`"),
        (with("aud", json!("other")), "`aud`"),
        (with("aud", json!(["other", "meridian2"])), "`aud`"),
        (without("aud"), "`aud`"),
        (without("exp"), "`exp`"),
        (with("exp", json!(NOW_S - 61)), "expired"),
        (with("exp", json!("tomorrow")), "`exp`"),
        (with("exp", json!(-1e300)), "expired"),
        (with("nbf", json!(NOW_S + 61)), "not come yet"),
        (without("tenant"), "`tenant` names no tenant"),
        (with("tenant", json!("")), "`tenant` names no tenant"),
        (with("tenant", json!([])), "`tenant` names no tenant"),
        (with("tenant", json!(7)), "`tenant` names no tenant"),
        (with("tenant", json!("a' OR 1=1")), "`tenant` names no tenant"),
        (with("tenant", json!(["acme", "a b"])), "`tenant` names no tenant"),
    ] {
        let told = issuer.detail(&ec.sign(&good, &claims)).await;
        assert!(told.contains(why), "{claims}: {told}");
    }
    assert!(issuer.detail(&other.sign(&good, &claims())).await.contains("signature"));
    assert!(
        issuer
            .detail(&ec.sign(&header("ES256", "else"), &claims()))
            .await
            .contains("`kid`")
    );
    let critical = json!({"alg": "ES256", "kid": "ec", "crit": ["exp"], "exp": 1});
    assert!(
        issuer
            .detail(&ec.sign(&critical, &claims()))
            .await
            .contains("extension")
    );
    for (claims, is_good) in [
        (with("aud", json!(["other", "meridian"])), true),
        (with("exp", json!(NOW_S - 59)), true),
        (with("exp", json!(1e300)), true),
        (with("nbf", json!(NOW_S + 59)), true),
        (with("tenant", json!(["acme", "beta"])), true),
        (with("tenant", json!("*")), true),
    ] {
        assert_eq!(
            issuer.tokens.grant(&ec.sign(&good, &claims)).await.is_ok(),
            is_good,
            "{claims}"
        );
    }
}

#[tokio::test]
async fn neither_none_nor_a_shared_secret_nor_another_algorithm_signs() {
    let issuer = Issuer::new(&[Signing::Es256]);
    let (ec, ed) = (Signer::ec(), Signer::ed());
    let secret = json!({"kty": "oct", "k": "c2VjcmV0", "kid": "shared", "alg": "HS256"});
    issuer.publish(&[ec.published("ec"), ed.published("ed"), secret]);
    for algorithm in [
        "none", "None", "HS256", "HS512", "RS256", "PS256", "ES384", "EdDSA", "", "es256",
    ] {
        for name in ["ec", "ed", "shared"] {
            let token = ec.sign(&header(algorithm, name), &claims());
            assert!(issuer.tokens.grant(&token).await.is_err(), "{algorithm} {name}");
        }
    }
    // Signed well, with a key and an algorithm that the configuration does not allow.
    assert!(
        issuer
            .detail(&ed.sign(&header("EdDSA", "ed"), &claims()))
            .await
            .contains("algorithm")
    );
    // The public key as if it were a shared secret.
    let public = ec.published("ec").to_string();
    let message = format!(
        "{}.{}",
        encoded(header("HS256", "ec").to_string().as_bytes()),
        encoded(claims().to_string().as_bytes())
    );
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, public.as_bytes());
    let forged = format!(
        "{message}.{}",
        encoded(ring::hmac::sign(&key, message.as_bytes()).as_ref())
    );
    assert!(issuer.tokens.grant(&forged).await.is_err());
    let good = ec.sign(&header("ES256", "ec"), &claims());
    let (message, signature) = good.rsplit_once('.').unwrap();
    for token in [
        format!("{message}."),
        message.to_owned(),
        format!("{message}.{signature}.x"),
        format!("{message}.!{signature}"),
        String::new(),
        "..".to_owned(),
    ] {
        assert!(issuer.tokens.grant(&token).await.is_err(), "{token}");
    }
    assert!(issuer.tokens.grant(&good).await.is_ok());
}

#[tokio::test]
async fn keys_that_the_issuer_changes_are_fetched_but_not_at_every_token() {
    let issuer = Issuer::new(&[Signing::Es256]);
    let (first, second) = (Signer::ec(), Signer::ec());
    let (old, new) = (
        first.sign(&header("ES256", "1"), &with("exp", json!(NOW_S * 2))),
        second.sign(&header("ES256", "2"), &with("exp", json!(NOW_S * 2))),
    );
    assert_eq!(
        issuer.tokens.grant(&old).await.unwrap_err().kind,
        Kind::Unavailable,
        "no key is known"
    );
    issuer.publish(&[first.published("1")]);
    assert!(issuer.tokens.grant(&old).await.is_err(), "it was tried a moment ago");
    issuer.clock.advance(limits::ISSUER_KEYS_PAUSE);
    assert!(issuer.tokens.grant(&old).await.is_ok());
    issuer.publish(&[second.published("2")]);
    assert!(issuer.detail(&new).await.contains("`kid`"));
    assert!(issuer.tokens.grant(&old).await.is_ok());
    issuer.clock.advance(limits::ISSUER_KEYS_PAUSE);
    assert!(
        issuer.tokens.grant(&new).await.is_ok(),
        "an unknown name makes it look again"
    );
    assert!(issuer.tokens.grant(&old).await.is_err());
    // What cannot be fetched counts on for a while, and not for ever.
    fs::remove_file(issuer.folder.path().join("keys.json")).unwrap();
    issuer.clock.advance(limits::ISSUER_KEYS_REFRESH);
    issuer.tokens.refresh_when_due().await;
    assert!(issuer.tokens.grant(&new).await.is_ok());
    issuer.clock.advance(limits::ISSUER_KEYS_AGE_MAX);
    assert_eq!(issuer.tokens.grant(&new).await.unwrap_err().kind, Kind::Unavailable);
}

#[tokio::test]
async fn a_key_that_was_withdrawn_is_forgotten_without_being_asked_for() {
    let issuer = Issuer::new(&[Signing::Es256]);
    let (first, second) = (Signer::ec(), Signer::ec());
    issuer.publish(&[first.published("1"), second.published("2")]);
    let token = first.sign(&header("ES256", "1"), &with("exp", json!(NOW_S * 2)));
    assert!(issuer.tokens.grant(&token).await.is_ok());
    issuer.publish(&[second.published("2")]);
    issuer.tokens.refresh_when_due().await;
    assert!(issuer.tokens.grant(&token).await.is_ok(), "it is not time yet");
    issuer.clock.advance(limits::ISSUER_KEYS_REFRESH);
    issuer.tokens.refresh_when_due().await;
    assert!(issuer.tokens.grant(&token).await.is_err());
}
