//! Without keys, on a loopback address: open to this machine, and to nobody who only seems to be there.

use crate::{
    keys::{addresses, is_problem, open},
    rig::Api,
};

#[tokio::test(flavor = "multi_thread")]
async fn the_first_key_closes_the_door_on_loopback_too() {
    let api = Api::start("keys_first").await;
    let open = api.get("/api/v1/devices").await;
    assert_eq!((open.status, open.header("vary")), (200, ""));
    assert_eq!(api.get("/api/v1/session").await.json()["credential"], false);
    let key = api.key(&["acme"], &["read"]).await;
    assert_eq!(api.get("/api/v1/devices").await.status, 401);
    assert_eq!(api.get_as(&key, "/api/v1/devices").await.status, 200);
    // Behind a proxy, that is how it is used.
    let headers = [
        ("authorization", &*format!("Bearer {key}")),
        ("host", "maps.example"),
        ("x-forwarded-for", "10.1.1.1"),
    ];
    assert_eq!(api.get_with("/api/v1/devices", &headers).await.status, 200);
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_keys_only_this_machine_is_answered_and_only_by_name() {
    let api = Api::start("keys_rebinding").await;
    for path in [
        "/",
        "/status",
        "/api/v1/devices",
        "/api/v1/live?metric=speed",
        "/api/v1/tap",
        "/api/openapi.json",
        "/healthz",
    ] {
        for headers in [
            &[("host", "evil.example")][..],
            &[("host", "127.0.0.1.evil.example:8080")][..],
            &[("host", "localhost"), ("x-forwarded-for", "10.1.1.1")][..],
        ] {
            let answer = api.get_with(path, headers).await;
            assert!(
                is_problem(&answer, 403, "host-refused"),
                "{path}: {headers:?}: {}",
                answer.status
            );
        }
        assert_ne!(
            open(&api, path, &[("host", "localhost:9")]).await.status(),
            403,
            "{path}"
        );
    }
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_keys_pages_of_other_sites_ask_nothing_and_link_to_the_page_alone() {
    let api = Api::start("keys_sites").await;
    let host = format!("127.0.0.1:{}", api.server.address.port());
    let own = format!("http://{host}");
    let pages = ["/", "/status", "/api/openapi.json", "/healthz"].map(str::to_owned);
    let mut questions = addresses(&api, Some("acme")).await;
    questions.extend(["/api/v1/session", "/api/v1/tap"].map(str::to_owned));
    // What browsers say of a picture, a script's question, a stream of events, and a frame.
    let foreign = [
        &[
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "no-cors"),
            ("sec-fetch-dest", "image"),
        ][..],
        &[
            ("origin", "https://evil.example"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "cors"),
        ],
        &[("origin", "http://localhost:3000"), ("accept", "text/event-stream")],
        &[("origin", "null")],
        &[
            ("sec-fetch-site", "same-site"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "iframe"),
        ],
    ];
    let link = [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-dest", "document"),
    ];
    for path in pages.iter().chain(&questions) {
        for headers in foreign {
            let answer = api.get_with(path, headers).await;
            assert!(
                is_problem(&answer, 403, "site-refused"),
                "{path}: {headers:?}: {}",
                answer.status
            );
        }
        for headers in [
            &[][..],
            &[
                ("sec-fetch-site", "none"),
                ("sec-fetch-mode", "navigate"),
                ("sec-fetch-dest", "document"),
            ],
            &[("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "cors")],
            &[("host", &host), ("origin", &own), ("accept", "text/event-stream")],
        ] {
            let answer = open(&api, path, headers).await;
            assert_ne!(answer.status(), 403, "{path}: {headers:?}");
        }
        let answer = open(&api, path, &link).await;
        assert_eq!(
            answer.status() == 403,
            questions.contains(path),
            "{path}: {}",
            answer.status()
        );
    }
    // With a key, who asks is known and counted.
    let key = api.key(&["acme"], &["read"]).await;
    let headers = [
        ("authorization", &*format!("Bearer {key}")),
        ("origin", "https://maps.example"),
    ];
    assert_eq!(api.get_with("/api/v1/devices", &headers).await.status, 200);
    api.stop().await;
}
