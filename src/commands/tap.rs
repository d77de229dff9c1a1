//! `meridian tap`: a live view of events as they pass through the log.
//!
//! From Kafka directly; from an embedded log through the web side of the process that owns it.

use std::{fmt::Write, path::PathBuf};

use clap::Args;
use dashboards::{TAP_PATH, Tap};
use http_body_util::{BodyExt, Empty};
use hyper::{
    Request, Response, StatusCode, Uri,
    body::Incoming,
    header::{AUTHORIZATION, HeaderValue},
};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use platform::{shutdown::Shutdown, telemetry::LogFormat};
use schemas::{Event, record};

use crate::{
    cli::CommonOptions, config::ValidConfig, endpoints::Endpoints, failure::Failure, output, pipeline,
    process::until_signalled, when,
};

const EXAMPLES: &str = "\
Examples:
  meridian tap                                of the `meridian up` that runs on ./meridian-data
  meridian tap --tenant acme --device truck-7 --json
  meridian tap --key-file operator.key        where keys are asked for: one of scope `operate`
  meridian tap --config meridian.toml         of Kafka, if the configuration has a section [kafka]";

/// Show events as they pass through the log, one line each
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct TapOptions {
    /// Only events of this tenant
    #[arg(long)]
    tenant: Option<String>,
    /// Only events of this device
    #[arg(long)]
    device: Option<String>,
    /// The canonical event as JSON; also with `--log-format json`
    #[arg(long)]
    json: bool,
    /// Data folder of the `meridian up` to look into, where there is no Kafka [default: ./meridian-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// File with an API key that has the scope `operate`, where `meridian up` asks for one
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

/// Runs until a signal comes.
///
/// # Errors
/// When the log fails, or the process that owns it is not there.
pub(crate) async fn run(options: &TapOptions, common: &CommonOptions) -> Result<(), Failure> {
    let config = common.load()?;
    let shutdown = until_signalled()?;
    let tap = Tap {
        tenant: options.tenant.clone(),
        device: options.device.clone(),
    };
    let json = options.json || common.log_format() == LogFormat::Json;
    if config.log.kafka.is_some() {
        follow_kafka(&config, &tap, json, &shutdown).await
    } else {
        let running = Endpoints::find(options.data_dir.as_deref())?.map(|endpoints| endpoints.http);
        let address = running.unwrap_or_else(|| format!("http://{}", config.serve_listen));
        follow_web(&address, &tap, options.key()?, json, &shutdown).await
    }
}

async fn follow_kafka(config: &ValidConfig, tap: &Tap, json: bool, shutdown: &Shutdown) -> Result<(), Failure> {
    let log = pipeline::open_log(config, PathBuf::new()).await?;
    let mut consumer = Tap::open(&log).map_err(Failure::usage)?;
    loop {
        let lines = tokio::select! {
            biased;
            () = shutdown.requested() => break,
            lines = tap.next(consumer.as_mut()) => lines.map_err(Failure::runtime)?,
        };
        show(&lines, json)?;
    }
    if let Err(error) = consumer.close().await {
        tracing::debug!(%error, "the group notices by itself that we are gone");
    }
    Ok(())
}

impl TapOptions {
    /// What is sent as `Authorization`; never to be shown.
    fn key(&self) -> Result<Option<HeaderValue>, Failure> {
        let Some(path) = &self.key_file else { return Ok(None) };
        let fault = |error: String| Failure::usage(format!("`--key-file {}`: {error}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| fault(error.to_string()))?;
        let bearer = HeaderValue::from_str(&format!("Bearer {}", text.trim()));
        let mut bearer = bearer.map_err(|_| fault("it is no API key".to_owned()))?;
        bearer.set_sensitive(true);
        Ok(Some(bearer))
    }
}

async fn follow_web(
    address: &str,
    tap: &Tap,
    key: Option<HeaderValue>,
    json: bool,
    shutdown: &Shutdown,
) -> Result<(), Failure> {
    let mut response = ask(address, tap, key).await?;
    tracing::info!(address, "watching from the end of the log on");
    // The end of what arrived may be in the middle of a line.
    let mut pending: Vec<u8> = Vec::new();
    loop {
        let frame = tokio::select! {
            biased;
            () = shutdown.requested() => return Ok(()),
            frame = response.body_mut().frame() => frame,
        };
        let ended = || Failure::runtime(format!("`meridian up` at {address} has ended"));
        let frame = frame.ok_or_else(ended)?.map_err(|_error| ended())?;
        if let Some(data) = frame.data_ref() {
            pending.extend_from_slice(data);
        }
        if let Some(end) = pending.iter().rposition(|byte| *byte == b'\n') {
            let rest = pending.split_off(end + 1);
            show(&pending, json)?;
            pending = rest;
        }
    }
}

async fn ask(address: &str, tap: &Tap, key: Option<HeaderValue>) -> Result<Response<Incoming>, Failure> {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in [("tenant", &tap.tenant), ("device", &tap.device)] {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    let uri = format!("{address}{TAP_PATH}?{}", query.finish()).parse();
    let uri: Uri = uri.map_err(|error| Failure::runtime(format!("`{address}` is no address: {error}")))?;
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = uri;
    if let Some(key) = key {
        request.headers_mut().insert(AUTHORIZATION, key);
    }
    let client: Client<_, Empty<&[u8]>> = Client::builder(TokioExecutor::new()).build_http();
    let response = client.request(request).await.map_err(|_error| {
        Failure::runtime(format!(
            "no `meridian up` answers at {address}: start it, name its folder with `--data-dir`, or give a configuration \
             with a section `[kafka]`"
        ))
    })?;
    if response.status().is_success() {
        return Ok(response);
    }
    let status = response.status();
    let reason = response
        .into_body()
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes);
    let reason = String::from_utf8_lossy(&reason.unwrap_or_default()).trim().to_owned();
    // A problem document, for people.
    let problem: Option<serde_json::Value> = serde_json::from_str(&reason).ok();
    let detail = problem.as_ref().and_then(|problem| problem["detail"].as_str());
    let help = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            "; name the file of a key with `--key-file`: `meridian keys new --all-tenants --scope operate` makes one"
        }
        _ => "",
    };
    Err(Failure::runtime(format!(
        "`meridian` at {address} refuses: {} ({status}){help}",
        detail.unwrap_or(&reason)
    )))
}

/// Writes events, one in each line.
fn show(lines: &[u8], json: bool) -> Result<(), Failure> {
    if json {
        return output::print(&String::from_utf8_lossy(lines));
    }
    let mut text = String::new();
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        if let Ok(event) = record::decode(line) {
            describe(&event, &mut text).expect("writing to a string cannot fail");
        }
    }
    output::print(&text)
}

fn describe(event: &Event<'_>, text: &mut String) -> std::fmt::Result {
    write!(text, "{} {}/{}", when::show(event.ts_ms), event.tenant, event.device)?;
    if let Some(seq) = event.seq {
        write!(text, " #{seq}")?;
    }
    if let Some(position) = event.position {
        write!(text, " ({:.5}, {:.5})", position.latitude(), position.longitude())?;
    }
    for metric in &event.metrics {
        write!(text, " {}={}", metric.name, metric.value)?;
    }
    writeln!(text)
}
