-- The first event of a partition that was received at a time or later.
SELECT toUInt64(count()) AS found, toUInt64(min(offset)) AS first_offset
FROM {database}.measurement_log
WHERE partition = {partition} AND offset < {end} AND toUnixTimestamp64Milli(ts) + received_lag_ms >= {received_from_ms}
