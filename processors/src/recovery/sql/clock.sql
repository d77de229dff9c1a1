-- How far the times of receipt of a partition's events had come before an offset, and the times that were believed.
-- No clock of the log was ever more than an hour ahead, which Kafka would refuse; what a wrong clock of ingest wrote was.
SELECT
    toUInt64(count()) AS found,
    toInt64(max(received_ms)) AS received_max_ms,
    toInt64(max(least(ts_ms, received_ms))) AS believed_max_ms
FROM
(
    SELECT toUnixTimestamp64Milli(ts) AS ts_ms, least(ts_ms + received_lag_ms, toUnixTimestamp64Milli(now64(3)) + 3600000) AS received_ms
    FROM {database}.measurement_log
    WHERE partition = {partition} AND offset < {end}
)
