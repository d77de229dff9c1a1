//! Publishes a fleet in real time: the past at once, then each message when it is due.

use std::{collections::BTreeMap, time::Duration};

use platform::{
    clock::{Clock, SystemClock},
    shutdown::Shutdown,
};
use tokio::time::Instant;

use super::{Fleet, FleetOptions};
use crate::{
    LoadtestError,
    limits::{FLEET_BEHIND_MS_MAX, FLEET_CONNECTIONS, FLEET_LAST_ACKNOWLEDGEMENTS_MAX},
    publisher::{Fate, Outgoing, PublishError, Publisher, PublisherOptions},
};

/// What a fleet did until it was stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetReport {
    /// Messages by what became of them.
    pub counts: BTreeMap<Fate, u64>,
    /// Messages left out because the process was asleep when they were due.
    pub left_out_count: u64,
    /// Connections that were lost and built anew.
    pub reconnect_count: u64,
}

/// Publishes until shutdown.
///
/// # Errors
/// When the broker cannot be reached at the start. Later cuts are survived.
pub async fn run_fleet(
    options: FleetOptions,
    mqtt_url: &str,
    shutdown: &Shutdown,
) -> Result<FleetReport, LoadtestError> {
    let publisher_options = PublisherOptions {
        connections: FLEET_CONNECTIONS,
        keeps_entries: false,
        ..PublisherOptions::new(mqtt_url, format!("fleet-{}-{}", options.tenant, options.seed))
    };
    let publisher = match Publisher::connect(&publisher_options, shutdown).await {
        Err(PublishError::Shutdown) => return Ok(FleetReport::nothing()),
        connected => connected?,
    };
    let clock = SystemClock::new();
    let start_ms = options.start_ms;
    let mut left_out_count = 0;
    for (planned, number) in Fleet::new(options).zip(0..) {
        let ahead_ms = planned.due_ms - clock.wall_ms();
        if planned.due_ms > start_ms && ahead_ms < -FLEET_BEHIND_MS_MAX {
            left_out_count += 1;
            continue;
        }
        if let Ok(ahead_ms) = u64::try_from(ahead_ms)
            && ahead_ms > 0
        {
            tokio::select! {
                biased;
                () = shutdown.requested() => break,
                () = tokio::time::sleep(Duration::from_millis(ahead_ms)) => {}
            }
        }
        let outgoing = Outgoing {
            number,
            message: planned.message,
            intended: Instant::now(),
        };
        if publisher.publish(outgoing, shutdown).await.is_err() || shutdown.is_requested() {
            break;
        }
    }
    let ledger = publisher.finish(FLEET_LAST_ACKNOWLEDGEMENTS_MAX).await;
    Ok(FleetReport {
        counts: ledger.counts,
        left_out_count,
        reconnect_count: ledger.reconnect_count,
    })
}

impl FleetReport {
    fn nothing() -> Self {
        Self {
            counts: BTreeMap::new(),
            left_out_count: 0,
            reconnect_count: 0,
        }
    }
}
