-- One row for each metric of an event. The key ends in the event's place in the log, so a row that is inserted again
-- replaces itself. `ts` is part of the key, so all copies of a row fall into the same partition. Partitions are months:
-- a device may send its history of years in one message, and every partition that an INSERT touches costs it a part.
--
-- Coordinates are whole numbers of 1e-7 degrees (1 cm), -2147483648 where unknown. Times other than `ts` are kept as
-- distances from it, which are small or zero. Codecs were chosen by measured size in this sort order; `value` is left
-- to ZSTD because float codecs enlarge decimal values.
CREATE TABLE IF NOT EXISTS {database}.measurement_log{on_cluster}
(
    tenant LowCardinality(String) CODEC(ZSTD(1)),
    metric LowCardinality(String) CODEC(ZSTD(1)),
    device String CODEC(ZSTD(1)),
    ts DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    value Float64 CODEC(ZSTD(1)),
    latitude_e7 Int32 CODEC(DoubleDelta, ZSTD(1)),
    longitude_e7 Int32 CODEC(DoubleDelta, ZSTD(1)),
    cell UInt64 CODEC(ZSTD(1)),
    seq UInt64 CODEC(Delta, ZSTD(1)),
    received_lag_ms Int64 CODEC(T64, ZSTD(1)),
    device_lead_ms Int64 CODEC(T64, ZSTD(1)),
    clock_suspect UInt8 CODEC(ZSTD(1)),
    altitude_m Float32 CODEC(ZSTD(1)),
    speed_mps Float32 CODEC(ZSTD(1)),
    heading_deg Float32 CODEC(ZSTD(1)),
    accuracy_m Float32 CODEC(ZSTD(1)),
    partition UInt16 CODEC(ZSTD(1)),
    offset UInt64 CODEC(Delta, ZSTD(1))
)
ENGINE = {engine_replacing measurement_log}
PARTITION BY toYYYYMM(ts)
PRIMARY KEY (tenant, metric, device, ts)
ORDER BY (tenant, metric, device, ts, partition, offset)
SETTINGS {log_settings};

CREATE VIEW IF NOT EXISTS {database}.measurements{on_cluster} AS
SELECT
    log.tenant AS tenant,
    log.device AS device,
    log.metric AS metric,
    log.ts AS ts,
    log.value AS value,
    if(log.latitude_e7 = -2147483648, nan, log.latitude_e7 / 1e7) AS lat,
    if(log.longitude_e7 = -2147483648, nan, log.longitude_e7 / 1e7) AS lon,
    log.cell AS cell,
    log.seq AS seq,
    addMilliseconds(log.ts, log.received_lag_ms) AS received_at,
    addMilliseconds(log.ts, log.device_lead_ms) AS device_ts,
    log.clock_suspect AS clock_suspect,
    log.altitude_m AS alt,
    log.speed_mps AS speed_mps,
    log.heading_deg AS heading_deg,
    log.accuracy_m AS accuracy_m,
    log.partition AS partition,
    log.offset AS offset
FROM {database}.measurement_log AS log FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;
