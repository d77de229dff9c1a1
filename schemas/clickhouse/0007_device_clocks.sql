-- How good the clocks of devices are: with the state of each device, since a row of it is written anyway.
ALTER TABLE {database}.device_log{on_cluster} ADD COLUMN IF NOT EXISTS clock_claims UInt64 CODEC(T64, ZSTD(1)) AFTER clock_suspect;

ALTER TABLE {database}.device_log{on_cluster} ADD COLUMN IF NOT EXISTS clock_skew_ms Int64 CODEC(T64, ZSTD(1)) AFTER clock_claims;

ALTER TABLE {database}.device_log{on_cluster} ADD COLUMN IF NOT EXISTS clock_future UInt64 CODEC(T64, ZSTD(1)) AFTER clock_skew_ms;

ALTER TABLE {database}.device_log{on_cluster} ADD COLUMN IF NOT EXISTS clock_past UInt64 CODEC(T64, ZSTD(1)) AFTER clock_future;

ALTER TABLE {database}.device_log{on_cluster} ADD COLUMN IF NOT EXISTS clock_seen_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) AFTER clock_past;

-- Devices whose clock is not to be trusted: `skew_ms` (receipt less claim) says that it is more than a minute ahead or
-- more than an hour behind, or claims were out of range. Less behind than that may as well be a slow way. A device has one partition for as long as the topic keeps its number of them.
CREATE VIEW IF NOT EXISTS {database}.device_clocks{on_cluster} AS
SELECT
    log.tenant AS tenant,
    log.device AS device,
    argMax(log.clock_skew_ms, (log.clock_seen_at, log.partition)) AS skew_ms,
    sum(log.clock_claims) AS claims,
    sum(log.clock_future) AS future_claims,
    sum(log.clock_past) AS past_claims,
    max(log.clock_seen_at) AS last_seen
FROM {database}.device_log AS log FINAL
GROUP BY
    log.tenant,
    log.device
HAVING future_claims > 0 OR past_claims > 0 OR skew_ms < -60000 OR skew_ms > 3600000;
