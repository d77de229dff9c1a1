//! The demo fleet in real time against a real Mosquitto.

use std::time::Duration;

use loadtest::{
    fleet::{FleetOptions, run_fleet},
    publisher::Fate,
};
use platform::{
    clock::{Clock, SystemClock},
    shutdown::Shutdown,
};
use rig::Mosquitto;
use schemas::payload::decode_json;

use crate::reference::subscribe;

#[tokio::test]
async fn the_past_comes_at_once_and_the_present_as_it_happens() {
    let broker = Mosquitto::start();
    let mut inbox = subscribe(broker.port(), "watcher").await;
    let now_ms = SystemClock::new().wall_ms();
    let options = FleetOptions {
        history_ms: 60_000,
        ..FleetOptions::demo(1, now_ms)
    };
    let (trigger, shutdown) = Shutdown::new();
    let url = broker.url();
    let fleet = tokio::spawn(async move { run_fleet(options, &url, &shutdown).await });
    tokio::time::sleep(Duration::from_secs(4)).await;
    trigger.request();
    let report = fleet.await.unwrap().unwrap();

    let (mut received_count, mut past_count, mut present_count) = (0, 0, 0);
    while let Ok(Some((_, payload))) = tokio::time::timeout(Duration::from_millis(500), inbox.recv()).await {
        received_count += 1;
        let Ok(readings) = decode_json(&payload) else {
            continue;
        };
        for ts_ms in readings.iter().filter_map(|reading| reading.claimed_ts_ms) {
            past_count += u64::from(ts_ms < now_ms - 5_000);
            present_count += u64::from(ts_ms > now_ms + 2_000);
        }
    }
    assert_eq!(report.counts.get(&Fate::Acknowledged), Some(&received_count));
    assert_eq!((report.left_out_count, report.reconnect_count), (0, 0));
    // 200 vehicles tell the last minute every ten seconds, then the present every second.
    assert!(past_count > 800, "{past_count}");
    assert!((100..2_000).contains(&present_count), "{present_count}");
}
