//! The start page: what runs, where, and how it is. Plain HTML, made anew for every request.

use std::fmt::Write;

use platform::health::HealthReport;

use crate::limits::REFRESH_SECONDS;

/// Whether there is a map to go to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Map {
    /// It is served.
    Here,
    /// The page is not part of this build.
    #[default]
    NotBuilt,
}

impl Map {
    fn words(self) -> &'static str {
        match self {
            Self::Here => "<a href=\"/\">Map</a>",
            Self::NotBuilt => {
                "This build has no map: <code>cargo xtask web</code> builds the page, then build <code>meridian</code> \
                 again."
            }
        }
    }
}

/// What runs and where, in the order of an event's path.
#[derive(Clone, Debug, Default)]
pub struct StartPage {
    entries: Vec<(String, String)>,
    map: Map,
}

impl StartPage {
    /// Adds a part and its address, or a few words about it. Addresses of pages become links.
    pub fn add(&mut self, name: &str, address: &str) {
        self.entries.push((name.to_owned(), address.to_owned()));
    }

    pub(crate) fn set_map(&mut self, map: Map) {
        self.map = map;
    }

    pub(crate) fn has_map(&self) -> bool {
        self.map == Map::Here
    }

    /// The page with the present state of all components, and the way to the map, or to having one.
    #[must_use]
    pub fn render(&self, report: &HealthReport) -> String {
        let verdict = if report.is_ready() { "ready" } else { "not ready" };
        let mut page = format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Meridian</title>\
             <meta name=\"viewport\" content=\"width=device-width\">\
             <meta http-equiv=\"refresh\" content=\"{REFRESH_SECONDS}\"><style>{STYLE}</style></head><body>\n\
             <h1>Meridian</h1>\n<p>This process is <strong>{verdict}</strong>. Probes: <a href=\"/healthz\">/healthz</a>, \
             <a href=\"/readyz\">/readyz</a>. Queries are answered under <code>/api/v1</code>, as \
             <a href=\"/api/openapi.json\">described in OpenAPI</a>.</p>\n<p>{}</p>\n",
            self.map.words()
        );
        page.push_str("<h2>Where</h2>\n<table>\n");
        for (name, address) in &self.entries {
            row(&mut page, &[&escaped(name), &linked(address)]);
        }
        page.push_str("</table>\n<h2>How</h2>\n<table>\n");
        for (name, component) in &report.components {
            let reason = component.state.reason().unwrap_or_default();
            row(&mut page, &[&escaped(name), component.state.as_str(), &escaped(reason)]);
        }
        page.push_str("</table>\n</body></html>\n");
        page
    }
}

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:3rem auto;padding:0 1rem}\
    td{padding:.2rem 1.5rem .2rem 0;vertical-align:top}@media(prefers-color-scheme:dark){body{background:#111;color:#ddd}\
    a{color:#8bf}}";

fn row(page: &mut String, cells: &[&str]) {
    page.push_str("<tr>");
    for cell in cells {
        write!(page, "<td>{cell}</td>").expect("writing to a string cannot fail");
    }
    page.push_str("</tr>\n");
}

/// An address, with a note behind it or not, as a link if a browser can follow it.
fn linked(address: &str) -> String {
    let (url, note) = address.split_at(address.find(' ').unwrap_or(address.len()));
    let (url, note) = (escaped(url), escaped(note));
    if url.starts_with("http://") || url.starts_with("https://") {
        format!("<a href=\"{url}\">{url}</a>{note}")
    } else {
        url + &note
    }
}

/// Text that cannot end the element or attribute it stands in.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use platform::{
        clock::ManualClock,
        health::{Health, Need},
    };

    use super::*;

    #[test]
    fn the_page_says_what_runs_where_and_how_it_is() {
        let health = Health::new(Arc::new(ManualClock::at(0)));
        let component = health.component("process", Need::Required);
        component.failed("<b>ClickHouse</b> is away");
        let mut page = StartPage::default();
        page.set_map(Map::NotBuilt);
        page.add("ClickHouse", "http://127.0.0.1:8123 (embedded)");
        page.add("MQTT", "mqtt://127.0.0.1:1883");
        let html = page.render(&health.report());
        for part in [
            "<strong>not ready</strong>",
            "<a href=\"http://127.0.0.1:8123\">http://127.0.0.1:8123</a> (embedded)",
            "<td>mqtt://127.0.0.1:1883</td>",
            "cargo xtask web",
            "<td>process</td><td>failed</td><td>&lt;b&gt;ClickHouse&lt;/b&gt; is away</td>",
        ] {
            assert!(html.contains(part), "`{part}` in {html}");
        }
        component.ready();
        page.set_map(Map::Here);
        let html = page.render(&health.report());
        assert!(html.contains("<strong>ready</strong>"), "{html}");
        assert!(html.contains("<a href=\"/\">Map</a>"), "{html}");
        assert!(html.contains("<a href=\"/api/openapi.json\">"), "{html}");
    }
}
