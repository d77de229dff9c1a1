-- Messages that became no event, with the reason and the original bytes. The id follows from the message, so one that
-- is delivered twice is one row: FINAL also merges across partitions here, since the second delivery may fall into the
-- next month.
CREATE TABLE IF NOT EXISTS {database}.dead_letter_log{on_cluster}
(
    id String CODEC(ZSTD(1)),
    received_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    stage LowCardinality(String) CODEC(ZSTD(1)),
    reason LowCardinality(String) CODEC(ZSTD(1)),
    detail String CODEC(ZSTD(1)),
    broker LowCardinality(String) CODEC(ZSTD(1)),
    topic String CODEC(ZSTD(1)),
    payload String CODEC(ZSTD(3)),
    partition UInt16 CODEC(ZSTD(1)),
    offset UInt64 CODEC(ZSTD(1))
)
ENGINE = {engine_replacing dead_letter_log}
PARTITION BY toYYYYMM(received_at)
ORDER BY id
SETTINGS {log_settings};

CREATE VIEW IF NOT EXISTS {database}.dead_letters{on_cluster} AS
SELECT
    log.id AS id,
    log.received_at AS received_at,
    log.stage AS stage,
    log.reason AS reason,
    log.detail AS detail,
    log.broker AS broker,
    log.topic AS topic,
    log.payload AS payload,
    log.partition AS partition,
    log.offset AS offset
FROM {database}.dead_letter_log AS log FINAL;
