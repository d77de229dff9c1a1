-- All cells of a tenant at one level.
SELECT
    toString(metric) AS metric,
    toUInt32(toUnixTimestamp(bucket)) AS bucket,
    toUInt64(cell) AS cell,
    toUInt64(count) AS count,
    toFloat64(sum) AS sum,
    toFloat64(min) AS min,
    toFloat64(max) AS max,
    toFloat64(avg) AS avg,
    toFloat64(p50) AS p50,
    toFloat64(p90) AS p90,
    toFloat64(p99) AS p99,
    toUInt64(devices) AS devices
FROM rollups
WHERE tenant = {tenant:String} AND period = {period:UInt32} AND res = {res:UInt8}
