//! `[serve]`: who is let in to the web side, and how often.

use dashboards::{Access, KeySource, Network, Rate, RequestLimits, Signing, TokenSettings};
use platform::config::{Field, Section};

use super::limits;

/// Reads who is let in.
pub(super) fn read(section: &Section<'_>) -> Access {
    let proxies = section.required("trusted_proxies");
    let mut networks: Vec<Network> = Vec::new();
    for text in proxies.texts() {
        match text.parse() {
            Ok(network) => networks.push(network),
            Err(error) => proxies.fault(format!("names `{text}`, which {error}")),
        }
    }
    let limits_section = section.section("limits");
    let rate = |per_second: &str, at_once: &str| Rate {
        per_second: number(&limits_section.required(per_second)),
        at_once: number(&limits_section.required(at_once)),
    };
    Access {
        limits: RequestLimits {
            credential: rate("requests_per_second", "requests_at_once"),
            address: rate("address_requests_per_second", "address_requests_at_once"),
            connections: number(&limits_section.required("address_connections")) as usize,
            proxies: networks,
        },
        tokens: section
            .optional_section("jwt")
            .and_then(|section| read_tokens(&section)),
    }
}

fn number(field: &Field<'_>) -> u32 {
    u32::try_from(field.integer(limits::REQUESTS)).expect("the range was checked")
}

fn read_tokens(section: &Section<'_>) -> Option<TokenSettings> {
    let url_field = section.optional("jwks_url").and_then(Field::non_empty);
    let file = section.optional("jwks_file").and_then(Field::non_empty);
    let keys = match (url_field, file) {
        (Some(field), None) => {
            let url = field.url(&["https", "http"]);
            if let Some(url) = url
                .as_ref()
                .filter(|url| url.scheme == "http" && !is_loopback(&url.host))
            {
                field.fault(format!(
                    "is fetched from `{}` in the open, where anybody between could put keys of theirs; write https://",
                    url.host
                ));
            }
            url.map(KeySource::Url)
        }
        (None, Some(field)) => Some(KeySource::File(field.path())),
        (Some(_), Some(field)) => {
            field.fault("is given as well as `jwks_url`; remove one of them");
            None
        }
        (None, None) => {
            section.fault(
                "jwks_url",
                "is missing, and so is `jwks_file`; write where the keys of the issuer are",
            );
            None
        }
    };
    let signings_field = section.required("algorithms");
    let mut signings = Vec::new();
    for name in signings_field.texts() {
        match Signing::ALL.iter().find(|(known, _)| *known == name) {
            Some((_, signing)) => signings.push(*signing),
            None => signings_field.fault(format!(
                "names `{name}`; write some of RS256, ES256, EdDSA: shared secrets and `none` are no signatures"
            )),
        }
    }
    if signings.is_empty() {
        signings_field.fault("is empty; write some of RS256, ES256, EdDSA");
    }
    Some(TokenSettings {
        issuer: named(&section.required("issuer")),
        audience: named(&section.required("audience")),
        signings,
        tenant_claim: named(&section.required("tenant_claim")),
        scope_claim: section
            .optional("scope_claim")
            .and_then(Field::non_empty)
            .map(|field| field.text()),
        ca_file: section.optional("ca_file").map(|field| field.path()),
        keys: keys?,
    })
}

fn named(field: &Field<'_>) -> String {
    let text = field.text();
    if text.is_empty() {
        field.fault("is empty; write what tokens have");
    }
    text
}

fn is_loopback(host: &str) -> bool {
    let is_loopback = |ip: std::net::IpAddr| ip.to_canonical().is_loopback();
    host == "localhost" || host.parse().is_ok_and(is_loopback)
}
