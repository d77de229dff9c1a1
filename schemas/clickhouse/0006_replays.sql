-- Dead letters that were published again. A letter that is refused again is a letter of its own that names the first
-- one of its message, so that they are one message to whoever counts.
ALTER TABLE {database}.dead_letter_log{on_cluster} ADD COLUMN IF NOT EXISTS replay_of String CODEC(ZSTD(1)) AFTER payload;

ALTER TABLE {database}.dead_letter_log{on_cluster} ADD COLUMN IF NOT EXISTS replay_count UInt16 CODEC(ZSTD(1)) AFTER replay_of;

ALTER TABLE {database}.dead_letter_log{on_cluster} ADD COLUMN IF NOT EXISTS first_received_at DateTime64(3, 'UTC') DEFAULT received_at CODEC(ZSTD(1)) AFTER replay_count;

CREATE OR REPLACE VIEW {database}.dead_letters{on_cluster} AS
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
    log.offset AS offset,
    log.replay_of AS replay_of,
    log.replay_count AS replay_count,
    log.first_received_at AS first_received_at
FROM {database}.dead_letter_log AS log FINAL;

-- What `meridian dlq replay` did with a letter, newest last: written before it is published, and again once the broker
-- has acknowledged it. A letter with `acknowledged` 0 may have been published or not.
CREATE TABLE IF NOT EXISTS {database}.dead_letter_replay_log{on_cluster}
(
    id String CODEC(ZSTD(1)),
    version UInt64 CODEC(ZSTD(1)),
    replayed_at DateTime64(3, 'UTC') CODEC(ZSTD(1)),
    acknowledged UInt8 CODEC(ZSTD(1)),
    broker LowCardinality(String) CODEC(ZSTD(1)),
    replay_of String CODEC(ZSTD(1)),
    replay_count UInt16 CODEC(ZSTD(1))
)
ENGINE = {engine_replacing dead_letter_replay_log version}
ORDER BY id
SETTINGS {log_settings};

CREATE VIEW IF NOT EXISTS {database}.dead_letter_replays{on_cluster} AS
SELECT
    log.id AS id,
    log.replayed_at AS replayed_at,
    log.acknowledged AS acknowledged,
    log.broker AS broker,
    log.replay_of AS replay_of,
    log.replay_count AS replay_count
FROM {database}.dead_letter_replay_log AS log FINAL;
