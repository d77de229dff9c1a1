-- All measurements of a tenant.
SELECT
    toString(device) AS device,
    toString(metric) AS metric,
    toInt64(toUnixTimestamp64Milli(ts)) AS ts_ms,
    toFloat64(value) AS value,
    toFloat64(lat) AS lat,
    toFloat64(lon) AS lon,
    toUInt64(cell) AS cell,
    toUInt64(seq) AS seq
FROM measurements
WHERE tenant = {tenant:String}
