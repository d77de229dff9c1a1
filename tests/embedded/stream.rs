//! A reader of live streams, as a browser is one: it keeps what it was shown, and comes back where it was.

use std::{collections::BTreeMap, time::Duration};

use http_body_util::{BodyExt, Empty};
use hyper::{
    Request,
    body::{Bytes, Incoming},
};
use hyper_util::{client::legacy, rt::TokioExecutor};
use serde_json::Value;
use tokio::time::{Instant, timeout};

/// Whatever is awaited comes long before, on a busy machine too.
pub(crate) const SHOWN_MAX: Duration = Duration::from_secs(60);

/// One event.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) data: Value,
}

/// An open stream.
pub(crate) struct Stream {
    body: Incoming,
    text: String,
    pub(crate) headers: hyper::HeaderMap,
    /// Identifier of the last event.
    pub(crate) last_id: String,
    /// Values and counts by cell, as shown now.
    pub(crate) shown: BTreeMap<String, (f64, u64)>,
    /// Events so far, by name.
    pub(crate) counted: BTreeMap<String, u64>,
    /// Start of the bucket that is shown.
    pub(crate) from: String,
}

/// Asks for a stream; the status and problem where it is refused.
pub(crate) async fn try_open(url: &str, last_id: Option<&str>) -> Result<Stream, (u16, Value)> {
    let client: legacy::Client<_, Empty<Bytes>> = legacy::Client::builder(TokioExecutor::new()).build_http();
    let mut request = Request::get(url);
    if let Some(last_id) = last_id {
        request = request.header("last-event-id", last_id);
    }
    let response = client.request(request.body(Empty::new()).unwrap()).await;
    let response = response.map_err(|error| (0, Value::String(error.to_string())))?;
    let (parts, body) = response.into_parts();
    if parts.status != 200 {
        let body = body.collect().await.unwrap().to_bytes();
        return Err((parts.status.as_u16(), serde_json::from_slice(&body).unwrap()));
    }
    Ok(Stream {
        body,
        text: String::new(),
        headers: parts.headers,
        last_id: String::new(),
        shown: BTreeMap::new(),
        counted: BTreeMap::new(),
        from: String::new(),
    })
}

pub(crate) async fn open(url: &str) -> Stream {
    try_open(url, None)
        .await
        .unwrap_or_else(|error| panic!("{url}: {error:?}"))
}

impl Stream {
    /// The next event; none when the stream has ended. Comments are passed over.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let event = parse(block);
                self.text = rest.to_owned();
                if let Some(event) = event {
                    self.take(&event);
                    return Some(event);
                }
            }
            let frame = self.body.frame().await?.ok()?;
            if let Ok(data) = frame.into_data() {
                self.text.push_str(std::str::from_utf8(&data).unwrap());
            }
        }
    }

    fn take(&mut self, event: &Event) {
        *self.counted.entry(event.name.clone()).or_default() += 1;
        if !event.id.is_empty() {
            self.last_id.clone_from(&event.id);
        }
        match event.name.as_str() {
            "snapshot" => {
                self.shown.clear();
                event.data["from"].as_str().unwrap().clone_into(&mut self.from);
            }
            "delta" => assert_eq!(
                event.data["from"],
                self.from.as_str(),
                "a delta is of the bucket that is shown"
            ),
            _ => return,
        }
        let list = |name: &str| event.data[name].as_array().unwrap().clone();
        for ((cell, value), count) in list("cells").iter().zip(list("values")).zip(list("counts")) {
            let cell = cell.as_str().unwrap().to_owned();
            match count.as_u64().unwrap() {
                0 => drop(self.shown.remove(&cell)),
                count => drop(self.shown.insert(cell, (value.as_f64().unwrap(), count))),
            }
        }
    }

    /// Reads until this holds of what is shown.
    pub(crate) async fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let started = Instant::now();
        while !holds(self) {
            let left = SHOWN_MAX.saturating_sub(started.elapsed());
            let next = timeout(left, self.next()).await;
            let next = next.unwrap_or_else(|_| panic!("{what}: shown {:?}, events {:?}", self.shown, self.counted));
            assert!(next.is_some(), "{what}: the stream ended; events {:?}", self.counted);
        }
    }

    /// Events that all cells count.
    pub(crate) fn total(&self) -> u64 {
        self.shown.values().map(|(_, count)| count).sum()
    }
}

fn parse(block: &str) -> Option<Event> {
    let field = |name: &str| {
        let lines = block
            .lines()
            .filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        lines.collect::<Vec<_>>().join("\n")
    };
    let name = field("event");
    (!name.is_empty()).then(|| Event {
        name,
        id: field("id"),
        data: serde_json::from_str(&field("data")).unwrap(),
    })
}
