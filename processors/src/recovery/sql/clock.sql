-- How far the times of receipt of a partition's events had come before an offset, and the times that were believed.
SELECT
    toUInt64(count()) AS found,
    toInt64(max(received_ms)) AS received_max_ms,
    toInt64(max(least(ts_ms, received_ms))) AS believed_max_ms
FROM
(
    SELECT toUnixTimestamp64Milli(ts) AS ts_ms, ts_ms + received_lag_ms AS received_ms
    FROM {database}.measurement_log
    WHERE partition = {partition} AND offset < {end}
)
