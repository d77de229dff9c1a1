-- The devices of a partition that were heard of late enough, and where each was last.
-- Times of receipt are bounded as in clock.sql.
SELECT
    concat(tenant, '/', device) AS key,
    toUInt64(max(offset)) AS last_offset,
    toInt64(max(least(toUnixTimestamp64Milli(ts) + received_lag_ms, toUnixTimestamp64Milli(now64(3)) + 3600000))) AS heard_ms,
    toUInt8(max(latitude_e7 != -2147483648)) AS is_placed,
    argMaxIf((latitude_e7, longitude_e7), (ts, offset), latitude_e7 != -2147483648) AS place,
    toInt64(toUnixTimestamp64Milli(maxIf(ts, latitude_e7 != -2147483648))) AS place_ts_ms
FROM {database}.measurement_log
WHERE partition = {partition} AND offset < {end}
GROUP BY tenant, device
HAVING heard_ms >= {heard_from_ms}
ORDER BY heard_ms, key
