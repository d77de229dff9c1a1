-- What the task of each log partition did with its records, in chunks of 65,536 offsets: absolute counts, newest version
-- of each key. A row is written only after all rows and snapshots that follow from the records it counts, so whatever it
-- counts must be in the other tables: `meridian audit` compares them.
CREATE TABLE IF NOT EXISTS {database}.ledger_log{on_cluster}
(
    topic LowCardinality(String) CODEC(ZSTD(1)),
    partition UInt16 CODEC(ZSTD(1)),
    chunk UInt64 CODEC(Delta, ZSTD(1)),
    version UInt64 CODEC(ZSTD(1)),
    first_offset UInt64 CODEC(Delta, ZSTD(1)),
    last_offset UInt64 CODEC(Delta, ZSTD(1)),
    records UInt64 CODEC(T64, ZSTD(1)),
    events UInt64 CODEC(T64, ZSTD(1)),
    duplicates UInt64 CODEC(T64, ZSTD(1)),
    dead_letters UInt64 CODEC(T64, ZSTD(1)),
    measurements UInt64 CODEC(T64, ZSTD(1)),
    ts_min DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    ts_max DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    checksum UInt64 CODEC(ZSTD(1)),
    level_periods Array(UInt32) CODEC(ZSTD(1)),
    level_resolutions Array(UInt8) CODEC(ZSTD(1)),
    level_sinces Array(UInt64) CODEC(ZSTD(1))
)
ENGINE = {engine_replacing ledger_log version}
ORDER BY (topic, partition, chunk)
SETTINGS {log_settings};

CREATE VIEW IF NOT EXISTS {database}.ledger{on_cluster} AS
SELECT
    log.topic AS topic,
    log.partition AS partition,
    log.chunk AS chunk,
    log.first_offset AS first_offset,
    log.last_offset AS last_offset,
    log.records AS records,
    log.events AS events,
    log.duplicates AS duplicates,
    log.dead_letters AS dead_letters,
    log.measurements AS measurements,
    log.ts_min AS ts_min,
    log.ts_max AS ts_max,
    log.checksum AS checksum
FROM {database}.ledger_log AS log FINAL;
