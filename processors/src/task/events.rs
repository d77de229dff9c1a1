//! Canonical events: decode, dedupe, enrich, then rows, rollups and devices.

use eventlog::{RecordBatch, RecordRef, TopicPartition};
use schemas::{
    Event, Reason, Rejection, Stage,
    name::POSITION_METRIC,
    record,
    rows::{COORDINATE_UNKNOWN_E7, MeasurementRows, Rows, WholeLevel},
};

use super::{
    Due, Parameters, TaskStats,
    ledger::{Checked, Ledger},
    memory::Memory,
};
use crate::{
    dedupe::{delivery::RecentDeliveries, fingerprint::Fingerprinter, recent::RecentSet, sequence::Verdict},
    device::{DeviceState, Place, table::DeviceTable},
    limits::{FETCHED_TOGETHER, TENANTS_PER_FLUSH_MAX},
    metrics::freshness::{OTHER_TENANTS, TenantWatermarks},
    rollup::{Measurement, Rollups, accumulator::Origin},
    symbols::Symbols,
};

/// How often idle accumulators are looked for, by the log clock.
const SWEEP_INTERVAL_MS: i64 = 10_000;
/// Symbols are released when their number has doubled since the last time, and not below this.
const SYMBOLS_KEPT_MIN: usize = 4_096;

/// The state machine of one partition of the events topic.
#[derive(Clone, Debug)]
pub struct EventsTask {
    pub(super) topic_partition: TopicPartition,
    pub(super) parameters: Parameters,
    pub(super) origin: Origin,
    pub(super) state: State,
    proposed: Option<(Parameters, u64)>,
    pending: Rows,
    stats: TaskStats,
    fingerprinter: Fingerprinter,
    /// Of what was collected last. No state: for metrics only.
    tenants: TenantWatermarks,
}

/// All that a checkpoint holds.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) next_offset: u64,
    pub(super) log_clock_ms: i64,
    pub(super) watermark_ms: i64,
    pub(super) swept_ms: i64,
    pub(super) symbols: Symbols,
    pub(super) symbols_release_at: usize,
    pub(super) identities: RecentSet,
    pub(super) deliveries: RecentDeliveries,
    /// Events of dead letters that were published again.
    pub(super) replays: RecentSet,
    pub(super) devices: DeviceTable,
    pub(super) rollups: Rollups,
    pub(super) ledger: Ledger,
    /// Records below were counted by state that is lost: from them it is only learned what is to be remembered. 0 where
    /// nothing was lost.
    pub(super) quiet_until: u64,
}

impl EventsTask {
    pub(super) fn new(
        topic_partition: TopicPartition,
        first_offset: u64,
        incarnation: u16,
        parameters: &Parameters,
    ) -> Self {
        let origin = Origin {
            partition: topic_partition.partition.0,
            incarnation,
        };
        let state = State {
            next_offset: first_offset,
            log_clock_ms: i64::MIN,
            watermark_ms: i64::MIN,
            swept_ms: i64::MIN,
            symbols: Symbols::default(),
            symbols_release_at: SYMBOLS_KEPT_MIN,
            identities: RecentSet::default(),
            deliveries: RecentDeliveries::default(),
            replays: RecentSet::default(),
            devices: DeviceTable::default(),
            rollups: Rollups::new(parameters.rollup.clone(), origin),
            ledger: Ledger::new(&parameters.rollup.levels, first_offset),
            quiet_until: 0,
        };
        Self::with_state(topic_partition, parameters.clone(), origin, state)
    }

    pub(super) fn with_state(
        topic_partition: TopicPartition,
        parameters: Parameters,
        origin: Origin,
        state: State,
    ) -> Self {
        Self {
            topic_partition,
            parameters,
            origin,
            state,
            proposed: None,
            pending: Rows::default(),
            stats: TaskStats::default(),
            fingerprinter: Fingerprinter::default(),
            tenants: TenantWatermarks::new(),
        }
    }

    pub(super) fn next_offset(&self) -> u64 {
        self.state.next_offset
    }

    pub(super) fn apply(&mut self, batch: &RecordBatch) {
        let first = self.state.next_offset;
        let records: Vec<RecordRef<'_>> = batch.iter().skip_while(|record| record.offset < first).collect();
        for records in records.chunks(FETCHED_TOGETHER) {
            let devices = records.iter().map(|record| self.state.devices.peek(record.key));
            std::hint::black_box(devices.fold(0, |all, one| all ^ one));
            for record in records {
                let is_quiet = record.offset < self.state.quiet_until;
                self.state.next_offset = record.offset + 1;
                self.state.log_clock_ms = self.state.log_clock_ms.max(record.timestamp_ms);
                self.stats.consumed += 1;
                if !is_quiet {
                    self.state.ledger.record(record.offset);
                }
                match self.apply_record(*record, is_quiet) {
                    Err(rejection) if !is_quiet => self.refuse(*record, &rejection),
                    Ok(()) | Err(_) => {}
                }
                self.sweep();
            }
        }
    }

    fn apply_record(&mut self, record: RecordRef<'_>, is_quiet: bool) -> Result<(), Rejection> {
        let event = record::decode(record.value)?;
        let key = check_key(record.key, &event)?;
        let State {
            log_clock_ms,
            symbols,
            identities,
            deliveries,
            replays,
            devices,
            rollups,
            watermark_ms,
            ledger,
            ..
        } = &mut self.state;
        let (origin, pending) = (self.origin, &mut self.pending);
        let device = devices.touch(key, *log_clock_ms, self.parameters.devices, |key, state| {
            state.write(key, symbols, origin, &mut pending.devices);
        });
        let mut memory = Memory {
            fingerprinter: &mut self.fingerprinter,
            identities,
            deliveries,
            replays,
            now: (*log_clock_ms, self.parameters.identities),
        };
        let verdict = match event.seq {
            _ if memory.was_replayed(record.key, &event) => Verdict::Duplicate,
            Some(seq) => memory.judge(&mut device.sequence, record.key, seq, &event),
            None if memory.has_seen(record.key, &event) => Verdict::Duplicate,
            None => Verdict::New,
        };
        match verdict {
            Verdict::New => {}
            Verdict::Restart => self.stats.restarts += 1,
            Verdict::Duplicate => {
                self.stats.duplicates += 1;
                if !is_quiet {
                    ledger.duplicate();
                }
                return Ok(());
            }
        }
        let believed_ms = event.ts_ms.min(record.timestamp_ms);
        *watermark_ms = (*watermark_ms).max(believed_ms.saturating_sub(self.parameters.allowed_lateness_ms));
        if is_quiet {
            learn(device, &event, record.offset, self.parameters.base_resolution, symbols);
            return Ok(());
        }
        let place = locate(device, &event, self.parameters.base_resolution);
        device.update(&event, record.offset);
        ledger.event(event.ts_ms);
        let (mut row_count, mut checksum) = (0, 0_u64);
        let context = RowContext {
            event: &event,
            place,
            origin,
            offset: record.offset,
        };
        let measured = event.metrics.iter().map(|metric| (metric.name.as_ref(), metric.value));
        // A position alone is a measurement as well: that the device was there.
        let present = event.metrics.is_empty().then_some((POSITION_METRIC, 1.0));
        for (hint, (metric, value)) in measured.chain(present).enumerate() {
            let (index, symbol) = device.metric_symbol(hint, &event.tenant, metric, symbols);
            let last = &mut device.metrics[index];
            if event.ts_ms >= last.ts_ms {
                (last.ts_ms, last.value) = (event.ts_ms, value);
            }
            context.push(metric, value, &mut pending.measurements);
            row_count += 1;
            let checked = Checked {
                offset: record.offset,
                device_hash: device.hash,
                metric,
                ts_ms: event.ts_ms,
                value,
                cell: place.map_or(0, |place| place.cell),
            };
            checksum = checksum.wrapping_add(checked.number());
            let measurement = Measurement {
                symbol,
                ts_seconds: (event.ts_ms / 1_000) as u32,
                cell: place.map_or(0, |place| place.cell),
                device_hash: device.hash,
                value,
                offset: record.offset,
                log_clock_ms: *log_clock_ms,
            };
            rollups.add(measurement, symbols);
        }
        self.stats.measurements += row_count;
        ledger.measurements(row_count, checksum);
        Ok(())
    }

    /// A record that cannot be an event costs one dead letter, under an identity that follows from its place.
    fn refuse(&mut self, record: RecordRef<'_>, rejection: &Rejection) {
        self.stats.dead_letters += 1;
        self.state.ledger.dead_letter();
        let rows = &mut self.pending.dead_letters;
        rows.id.push(format!("{}-{}", self.topic_partition, record.offset));
        rows.received_at_ms.push(record.timestamp_ms);
        rows.stage.push(Stage::Process.as_str());
        rows.reason.push(rejection.reason.as_str());
        rows.detail.push(&rejection.detail);
        rows.broker.push("");
        rows.topic.push(&*self.topic_partition.topic);
        rows.payload.push(record.value);
        rows.replay_of.push("");
        rows.replay_count.push(0);
        rows.first_received_at_ms.push(record.timestamp_ms);
        rows.partition.push(self.origin.partition);
        rows.offset.push(record.offset);
    }

    fn sweep(&mut self) {
        let state = &mut self.state;
        let clock_ms = state.log_clock_ms;
        #[cfg(feature = "sabotage")]
        let clock_ms = platform::sabotage::wall_clock_or(clock_ms);
        if clock_ms.saturating_sub(state.swept_ms) < SWEEP_INTERVAL_MS {
            return;
        }
        state.swept_ms = clock_ms;
        state.rollups.evict_idle(clock_ms, &state.symbols);
        if state.symbols.len() >= state.symbols_release_at {
            let of_devices = state
                .devices
                .states()
                .flat_map(|device| &device.metrics)
                .map(|last| last.symbol);
            state.symbols.retain(state.rollups.symbols_in_use().chain(of_devices));
            state.symbols_release_at = (state.symbols.len() * 2).max(SYMBOLS_KEPT_MIN);
        }
    }

    pub(super) fn collect(&mut self, due: Due, rows: &mut Rows) {
        rows.append(&mut self.pending);
        let State {
            rollups,
            devices,
            symbols,
            ledger,
            next_offset,
            ..
        } = &mut self.state;
        let mask = match due {
            Due::Levels(mask) => mask,
            Due::All => {
                // The books say what is in all tables, so they are written only with all that was not.
                ledger.collect(&self.topic_partition, self.origin, &mut rows.ledger);
                u32::MAX
            }
        };
        rollups.collect(mask, symbols, &mut rows.rollups);
        #[cfg(feature = "sabotage")]
        let mask = match platform::sabotage::Rule::WholeIsCollected.is_broken() {
            true => u32::MAX,
            false => mask,
        };
        let due = rollups
            .levels()
            .iter()
            .enumerate()
            .filter(|(index, _)| mask & (1 << index) != 0);
        if let Some(last_offset) = next_offset.checked_sub(1) {
            rows.whole.extend(due.map(|(_, level)| WholeLevel {
                partition: self.topic_partition.partition.0,
                period_seconds: level.period_seconds,
                resolution: level.resolution,
                version: self.origin.version(last_offset),
            }));
        }
        let (tenants, lateness_ms) = (&mut self.tenants, self.parameters.allowed_lateness_ms);
        devices.drain_dirty(|key, state| {
            state.write(key, symbols, self.origin, &mut rows.devices);
            if let Some(believed_ms) = state.believed_ms() {
                note_tenant(tenants, key, believed_ms.saturating_sub(lateness_ms));
            }
        });
    }

    /// The newest times of tenants among what was collected since this was last asked.
    pub(super) fn take_tenant_watermarks(&mut self) -> TenantWatermarks {
        std::mem::take(&mut self.tenants)
    }

    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
            || self.state.rollups.has_pending()
            || self.state.devices.has_dirty()
            || self.state.ledger.is_dirty()
    }

    pub(super) fn pending_row_count(&self) -> usize {
        self.pending.counts().iter().sum()
    }

    pub(super) fn checkpoint(&mut self) -> Vec<u8> {
        if let Some((parameters, _)) = self.proposed.take_if(|(_, from)| self.state.next_offset >= *from) {
            self.state.rollups.change_parameters(parameters.rollup.clone());
            // What is only learned from is counted in no level.
            let since = self.state.next_offset.max(self.state.quiet_until);
            self.state.ledger.change_levels(&parameters.rollup.levels, since);
            self.parameters = parameters;
        }
        super::checkpoint::encode_events(self)
    }

    pub(super) fn propose_parameters(&mut self, parameters: &Parameters, from_offset: u64) -> bool {
        self.proposed = (*parameters != self.parameters).then(|| (parameters.clone(), from_offset));
        self.proposed.is_some()
    }

    pub(super) fn stats(&self) -> TaskStats {
        TaskStats {
            log_clock_ms: self.state.log_clock_ms,
            watermark_ms: self.state.watermark_ms,
            accumulators: self.state.rollups.accumulator_count(),
            devices: self.state.devices.len(),
            identities: self.state.identities.len() + self.state.deliveries.len(),
            ..self.stats
        }
    }
}

/// Keeps the newest time of the tenant of a key.
fn note_tenant(tenants: &mut TenantWatermarks, key: &str, watermark_ms: i64) {
    let tenant = key.split_once('/').map_or(key, |(tenant, _)| tenant);
    if let Some(known) = tenants.get_mut(tenant) {
        *known = watermark_ms.max(*known);
        return;
    }
    let label = match tenants.len() < TENANTS_PER_FLUSH_MAX {
        true => tenant,
        false => OTHER_TENANTS,
    };
    let known = tenants.entry(label.to_owned()).or_insert(watermark_ms);
    *known = watermark_ms.max(*known);
}

/// The record's key as text, if it is that of the event: it decides the partition, so it must not lie.
fn check_key<'record>(key: &'record [u8], event: &Event<'_>) -> Result<&'record str, Rejection> {
    let parts = std::str::from_utf8(key)
        .ok()
        .and_then(|key| key.split_once('/').map(|parts| (key, parts)));
    match parts {
        Some((key, (tenant, device))) if tenant == event.tenant && device == event.device => Ok(key),
        _ => {
            let detail = format!("the key is not `{}/{}`", event.tenant, event.device);
            Err(Rejection::new(Reason::InvalidRecord, detail))
        }
    }
}

/// Takes over what an event says of its device, which was counted before: its clock was judged then.
fn learn(device: &mut DeviceState, event: &Event<'_>, offset: u64, base_resolution: u8, symbols: &mut Symbols) {
    let clock = device.clock;
    locate(device, event, base_resolution);
    device.update(event, offset);
    device.clock = clock;
    for (hint, metric) in event.metrics.iter().enumerate() {
        let (index, _) = device.metric_symbol(hint, &event.tenant, &metric.name, symbols);
        let last = &mut device.metrics[index];
        if event.ts_ms >= last.ts_ms {
            (last.ts_ms, last.value) = (event.ts_ms, metric.value);
        }
    }
}

/// Where the event happened: as it says, else where the device was last.
fn locate(device: &mut DeviceState, event: &Event<'_>, base_resolution: u8) -> Option<Place> {
    // The base resolution may be another one since the device was last heard of.
    device.place = device.place.map(|place| place.at_resolution(base_resolution));
    let Some(position) = event.position else {
        return device.place;
    };
    let place = match device.place {
        // Most devices stand still most of the time, and indexing costs as much as decoding.
        Some(place) if place.is_at(position) => place,
        _ => Place::of(position, base_resolution),
    };
    if event.ts_ms >= device.place_ts_ms {
        device.place = Some(place);
        device.place_ts_ms = event.ts_ms;
    }
    Some(place)
}

/// What all measurement rows of one event share.
struct RowContext<'event> {
    event: &'event Event<'event>,
    place: Option<Place>,
    origin: Origin,
    offset: u64,
}

impl RowContext<'_> {
    fn push(&self, metric: &str, value: f64, rows: &mut MeasurementRows) {
        let event = self.event;
        let optional = |number: Option<f64>| number.map_or(f32::NAN, |number| number as f32);
        rows.tenant.push(event.tenant.as_ref());
        rows.metric.push(metric);
        rows.device.push(event.device.as_ref());
        rows.ts_ms.push(event.ts_ms);
        rows.value.push(value);
        rows.latitude_e7
            .push(self.place.map_or(COORDINATE_UNKNOWN_E7, |place| place.latitude_e7));
        rows.longitude_e7
            .push(self.place.map_or(COORDINATE_UNKNOWN_E7, |place| place.longitude_e7));
        rows.cell.push(self.place.map_or(0, |place| place.cell));
        rows.seq.push(event.seq.unwrap_or(0));
        rows.received_at_ms.push(event.received_at_ms);
        rows.device_ts_ms.push(event.device_ts_ms.unwrap_or(event.ts_ms));
        rows.clock_suspect.push(u8::from(event.clock_suspect()));
        rows.altitude_m.push(optional(event.motion.altitude_m));
        rows.speed_mps.push(optional(event.motion.speed_mps));
        rows.heading_deg.push(optional(event.motion.heading_deg));
        rows.accuracy_m.push(optional(event.motion.accuracy_m));
        rows.partition.push(self.origin.partition);
        rows.offset.push(self.offset);
    }
}
