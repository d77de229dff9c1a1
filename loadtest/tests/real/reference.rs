//! A pipeline in a hundred lines, slow and simple: what the oracles compare with in these tests, so that they can be
//! seen to agree with a right one and to disagree with a wrong one.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use bytes::Bytes;
use clickhouse::Client;
use h3o::{CellIndex, LatLng, Resolution};
use rumqttc::v5::{AsyncClient, Event, Incoming, MqttOptions, mqttbytes::QoS};
use schemas::{limits::PAYLOAD_BYTES_MAX_DEFAULT, payload::decode_json, topic::TopicPattern};
use tokio::sync::mpsc;

use crate::engine::{DeadLetterLogRow, MeasurementLogRow, RollupLogRow, insert};

/// What the pipeline does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Nothing,
    /// One acknowledged event is forgotten.
    LosesAnEvent,
    /// One event is stored twice.
    CountsTwice,
    /// A rollup misses one measurement.
    WrongRollup,
    /// One bad message is swallowed.
    SwallowsPoison,
}

/// Subscribes to everything; received messages come through the channel, from the moment this returns.
pub(crate) async fn subscribe(port: u16, client_id: &str) -> mpsc::UnboundedReceiver<(Bytes, Bytes)> {
    let mut options = MqttOptions::new(client_id, "127.0.0.1", port);
    options
        .set_clean_start(false)
        .set_session_expiry_interval(Some(u32::MAX));
    options.set_max_packet_size(Some(1 << 20));
    options.set_outgoing_inflight_upper_limit(16);
    let (client, mut events) = AsyncClient::new(options, 100);
    let (sender, receiver) = mpsc::unbounded_channel();
    let (ready_sender, ready) = tokio::sync::oneshot::channel();
    client.subscribe("telemetry/+/+", QoS::AtLeastOnce).await.unwrap();
    tokio::spawn(async move {
        let mut ready_sender = Some(ready_sender);
        loop {
            match events.poll().await {
                Ok(Event::Incoming(Incoming::SubAck(_))) => {
                    if let Some(ready) = ready_sender.take() {
                        ready.send(()).unwrap();
                    }
                }
                Ok(Event::Incoming(Incoming::Publish(publish))) => {
                    if sender.send((publish.topic, publish.payload)).is_err() {
                        return;
                    }
                }
                Ok(_) => {}
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
            let _keep_alive = &client;
        }
    });
    ready.await.unwrap();
    receiver
}

/// Stores whatever arrives, whenever nothing has come for a moment. Runs until the channel closes.
pub(crate) async fn run(mut inbox: mpsc::UnboundedReceiver<(Bytes, Bytes)>, client: Client, fault: Fault) {
    let mut pipeline = Pipeline::default();
    while let Some((topic, payload)) = inbox.recv().await {
        pipeline.take(&topic, &payload);
        while let Ok(Some((topic, payload))) = tokio::time::timeout(Duration::from_millis(300), inbox.recv()).await {
            pipeline.take(&topic, &payload);
        }
        pipeline.store(&client, fault).await;
    }
}

#[derive(Default)]
pub(crate) struct Pipeline {
    seen: HashSet<(String, String, i64, Vec<u8>)>,
    pub(crate) rows: Vec<MeasurementLogRow>,
    letters: Vec<DeadLetterLogRow>,
    offset: u64,
}

impl Pipeline {
    pub(crate) fn take(&mut self, topic: &[u8], payload: &[u8]) {
        self.offset += 1;
        let topic = std::str::from_utf8(topic).unwrap();
        let pattern = TopicPattern::parse("telemetry/{tenant}/{device}").unwrap();
        let reason = match pattern.read(topic).unwrap() {
            Err(rejection) => rejection.reason.as_str(),
            Ok(_) if payload.len() > PAYLOAD_BYTES_MAX_DEFAULT => "payload_too_large",
            Ok((tenant, device)) => match decode_json(payload) {
                Err(rejection) => rejection.reason.as_str(),
                Ok(readings) => {
                    for reading in readings {
                        self.add(tenant, device, &reading, payload);
                    }
                    return;
                }
            },
        };
        self.letters.push(DeadLetterLogRow {
            id: self.offset.to_string(),
            received_at: 1_767_225_600_000,
            stage: "ingest".to_owned(),
            reason: reason.to_owned(),
            detail: String::new(),
            broker: "test".to_owned(),
            topic: topic.to_owned(),
            payload: payload.to_vec(),
            partition: 0,
            offset: self.offset,
        });
    }

    fn add(&mut self, tenant: &str, device: &str, reading: &schemas::Reading<'_>, payload: &[u8]) {
        let ts_ms = reading.claimed_ts_ms.expect("replays have times");
        if !self
            .seen
            .insert((tenant.to_owned(), device.to_owned(), ts_ms, payload.to_vec()))
        {
            return;
        }
        let position = reading.position.expect("these files have positions");
        let place = LatLng::new(position.latitude(), position.longitude()).unwrap();
        let measured = reading
            .metrics
            .iter()
            .map(|metric| (metric.name.as_ref(), metric.value));
        let bare = reading.metrics.is_empty().then_some(("position", 1.0));
        for (metric, value) in measured.chain(bare) {
            self.rows.push(MeasurementLogRow {
                tenant: tenant.to_owned(),
                metric: metric.to_owned(),
                device: device.to_owned(),
                ts: ts_ms,
                value,
                latitude_e7: position.latitude_e7(),
                longitude_e7: position.longitude_e7(),
                cell: place.to_cell(Resolution::Nine).into(),
                seq: 0,
                partition: 0,
                offset: self.offset,
            });
        }
    }

    pub(crate) async fn store(&self, client: &Client, fault: Fault) {
        let (mut rows, mut letters) = (self.rows.clone(), self.letters.clone());
        let first_event = rows.first().map(|row| row.offset);
        match fault {
            Fault::LosesAnEvent => rows.retain(|row| Some(row.offset) != first_event),
            Fault::CountsTwice => {
                let again = rows.iter().filter(|row| Some(row.offset) == first_event).cloned();
                let mut again: Vec<MeasurementLogRow> = again.collect();
                again.iter_mut().for_each(|row| row.offset += 1_000_000);
                rows.extend(again);
            }
            Fault::SwallowsPoison => drop(letters.pop()),
            Fault::Nothing | Fault::WrongRollup => {}
        }
        let mut rollups = rollups(&rows, self.offset);
        if fault == Fault::WrongRollup {
            rollups[0].count -= 1;
        }
        insert(client, "measurement_log", &rows).await;
        insert(client, "rollup_log", &rollups).await;
        insert(client, "dead_letter_log", &letters).await;
    }
}

/// Values of one cell so far.
#[derive(Default)]
struct Accumulator {
    values: Vec<f64>,
    bins: BTreeMap<i16, u64>,
    devices: BTreeSet<u32>,
}

pub(crate) fn rollups(rows: &[MeasurementLogRow], version: u64) -> Vec<RollupLogRow> {
    let mut accumulators: BTreeMap<(String, String, u32, u8, u32, u64), Accumulator> = BTreeMap::new();
    for row in rows {
        for period in [60, 3_600, 86_400] {
            for res in [9, 7, 5] {
                let bucket = u32::try_from(row.ts / 1000).unwrap() / period * period;
                let cell = CellIndex::try_from(row.cell).unwrap();
                let cell = cell.parent(Resolution::try_from(res).unwrap()).unwrap().into();
                let key = (row.tenant.clone(), row.metric.clone(), period, res, bucket, cell);
                let accumulator = accumulators.entry(key).or_default();
                accumulator.values.push(row.value);
                *accumulator.bins.entry(bin(row.value)).or_default() += 1;
                let mut hasher = DefaultHasher::new();
                row.device.hash(&mut hasher);
                accumulator.devices.insert(hasher.finish() as u32);
            }
        }
    }
    let row = |(key, accumulator): ((String, String, u32, u8, u32, u64), Accumulator)| {
        let (tenant, metric, period, res, bucket, cell) = key;
        let values = &accumulator.values;
        RollupLogRow {
            tenant,
            metric,
            period,
            res,
            bucket,
            cell,
            partition: 0,
            generation: 0,
            version,
            count: values.len() as u64,
            sum: values.iter().sum(),
            min: values.iter().copied().fold(f64::INFINITY, f64::min),
            max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            bin_keys: accumulator.bins.keys().copied().collect(),
            bin_counts: accumulator.bins.values().copied().collect(),
            device_hashes: accumulator.devices.iter().copied().collect(),
        }
    };
    accumulators.into_iter().map(row).collect()
}

/// The bin of a value, as the head of the schema's `merge.sql` defines it.
fn bin(value: f64) -> i16 {
    if value == 0.0 {
        return 0;
    }
    let key = (value.abs().ln() / (1.01f64 / 0.99).ln()).ceil() as i16 + 12_000;
    if value < 0.0 { -key } else { key }
}
