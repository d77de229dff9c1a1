-- Last known state of each device, as each log partition saw it. A device has one partition for as long as the topic
-- keeps its number of partitions; the view takes the newest event over all of them.
CREATE TABLE IF NOT EXISTS {database}.device_log{on_cluster}
(
    tenant LowCardinality(String) CODEC(ZSTD(1)),
    device String CODEC(ZSTD(1)),
    partition UInt16 CODEC(ZSTD(1)),
    version UInt64 CODEC(ZSTD(1)),
    ts DateTime64(3, 'UTC') CODEC(ZSTD(1)),
    received_at DateTime64(3, 'UTC') CODEC(ZSTD(1)),
    latitude_e7 Int32 CODEC(ZSTD(1)),
    longitude_e7 Int32 CODEC(ZSTD(1)),
    cell UInt64 CODEC(ZSTD(1)),
    seq UInt64 CODEC(ZSTD(1)),
    clock_suspect UInt8 CODEC(ZSTD(1)),
    broker LowCardinality(String) CODEC(ZSTD(1)),
    metric_names Array(String) CODEC(ZSTD(1)),
    metric_values Array(Float64) CODEC(ZSTD(1)),
    attribute_names Array(String) CODEC(ZSTD(1)),
    attribute_values Array(String) CODEC(ZSTD(1))
)
ENGINE = {engine_replacing device_log version}
ORDER BY (tenant, device, partition)
SETTINGS {log_settings};

CREATE VIEW IF NOT EXISTS {database}.devices{on_cluster} AS
SELECT
    log.tenant AS tenant,
    log.device AS device,
    max(log.ts) AS ts,
    argMax(log.received_at, (log.ts, log.partition)) AS received_at,
    argMax(if(log.latitude_e7 = -2147483648, nan, log.latitude_e7 / 1e7), (log.ts, log.partition)) AS lat,
    argMax(if(log.longitude_e7 = -2147483648, nan, log.longitude_e7 / 1e7), (log.ts, log.partition)) AS lon,
    argMax(log.cell, (log.ts, log.partition)) AS cell,
    argMax(log.seq, (log.ts, log.partition)) AS seq,
    argMax(log.clock_suspect, (log.ts, log.partition)) AS clock_suspect,
    argMax(log.broker, (log.ts, log.partition)) AS broker,
    argMax(mapFromArrays(log.metric_names, log.metric_values), (log.ts, log.partition)) AS metrics,
    argMax(mapFromArrays(log.attribute_names, log.attribute_values), (log.ts, log.partition)) AS attributes
FROM {database}.device_log AS log FINAL
GROUP BY
    log.tenant,
    log.device;
