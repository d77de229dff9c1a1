//! `meridian tap`: a live view of events as they pass through the log.
//!
//! Reads as a group of its own from the end of the log on. It never commits, so it takes nothing from anybody.

use std::fmt::Write;

use clap::Args;
use eventlog::{Consumer, ConsumerEvent, Headers, LogError, RecordBatch, Subscription};
use platform::{shutdown::Shutdown, telemetry::LogFormat};
use schemas::{Event, record};

use crate::{cli::CommonOptions, failure::Failure, output, pipeline, process::until_signalled};

const EXAMPLES: &str = "\
Examples:
  meridian tap --config meridian.toml
  meridian tap --config meridian.toml --tenant acme --device truck-7 --json";

/// Show events as they pass through Kafka, one line each
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
}

/// Runs until a signal comes.
///
/// # Errors
/// When the log fails.
pub(crate) async fn run(options: &TapOptions, common: &CommonOptions) -> Result<(), Failure> {
    let config = common.load()?;
    if config.log.kafka.is_none() {
        return Err(Failure::usage(
            "`meridian tap` reads Kafka, and the configuration has no section `[kafka]`: an embedded log is open in the \
             process of `meridian up` alone; there, look at the view `measurements` in ClickHouse",
        ));
    }
    let shutdown = until_signalled()?;
    let log = pipeline::open_log(&config, std::path::PathBuf::new()).await?;
    let consumer = log
        .consumer(Subscription {
            group: format!("meridian-tap-{:016x}", rand::random::<u64>()),
            topics: vec![(record::EVENTS_TOPIC.into(), Headers::Skip)],
        })
        .map_err(Failure::usage)?;
    let view = View {
        tenant: options.tenant.as_deref(),
        device: options.device.as_deref(),
        json: options.json || common.log_format() == LogFormat::Json,
    };
    follow(consumer, &view, &shutdown).await
}

async fn follow(mut consumer: Box<dyn Consumer>, view: &View<'_>, shutdown: &Shutdown) -> Result<(), Failure> {
    loop {
        let event = tokio::select! {
            biased;
            () = shutdown.requested() => break,
            event = consumer.next() => event.map_err(Failure::runtime)?,
        };
        match event {
            ConsumerEvent::Assigned(partitions) => {
                tracing::info!(partitions = partitions.len(), "watching from the end of the log on");
                for partition in partitions {
                    match consumer.start(&partition.topic_partition, partition.high).await {
                        // It left again meanwhile, and will come back if it is ours.
                        Ok(()) | Err(LogError::Fenced { .. }) => {}
                        Err(error) => return Err(Failure::runtime(error)),
                    }
                }
            }
            ConsumerEvent::Revoked(_) => {}
            ConsumerEvent::Records(batch) => output::print(&view.lines(&batch))?,
        }
    }
    if let Err(error) = consumer.close().await {
        tracing::debug!(%error, "the group notices by itself that we are gone");
    }
    Ok(())
}

/// Which events, and how they look.
struct View<'options> {
    tenant: Option<&'options str>,
    device: Option<&'options str>,
    json: bool,
}

impl View<'_> {
    fn lines(&self, batch: &RecordBatch) -> String {
        let mut text = String::new();
        for record in batch.iter() {
            // What is no event becomes a dead letter further on; it cannot be told whose it is.
            let Ok(event) = record::decode(record.value) else {
                continue;
            };
            let is_wanted = |wanted: Option<&str>, is: &str| wanted.is_none_or(|wanted| wanted == is);
            if !is_wanted(self.tenant, &event.tenant) || !is_wanted(self.device, &event.device) {
                continue;
            }
            if self.json {
                text.push_str(&String::from_utf8_lossy(record.value));
            } else {
                describe(&event, &mut text);
            }
            text.push('\n');
        }
        text
    }
}

fn describe(event: &Event<'_>, text: &mut String) {
    let written = (|| {
        write!(text, "{} {}/{}", time(event.ts_ms), event.tenant, event.device)?;
        if let Some(seq) = event.seq {
            write!(text, " #{seq}")?;
        }
        if let Some(position) = event.position {
            write!(text, " ({:.5}, {:.5})", position.latitude(), position.longitude())?;
        }
        for metric in &event.metrics {
            write!(text, " {}={}", metric.name, metric.value)?;
        }
        Ok::<(), std::fmt::Error>(())
    })();
    written.expect("writing to a string cannot fail");
}

fn time(unix_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(unix_ms).map_or_else(|_| unix_ms.to_string(), |time| format!("{time:.3}"))
}
