-- The cells of one level that differ between `rollups` and a recount of `measurements`, with the server's own H3
-- functions. Sums may differ in their last digits, since doubles are added in another order; distinct devices are
-- exact up to a bound and estimated beyond.
WITH
    recounted AS
    (
        SELECT
            toString(metric) AS name,
            toUInt32(intDiv(toUnixTimestamp(ts), {period:UInt32}) * {period:UInt32}) AS bucket_seconds,
            if(isNaN(lat), toUInt64(0), h3ToParent(geoToH3(if(isNaN(lat), 0., lat), if(isNaN(lon), 0., lon), 9), {res:UInt8})) AS place,
            count() AS n,
            sum(value) AS total,
            sum(abs(value)) AS magnitude,
            min(value) AS low,
            max(value) AS high,
            uniqExact(device) AS device_count
        FROM measurements
        WHERE tenant = {tenant:String}
        GROUP BY name, bucket_seconds, place
    ),
    shown AS
    (
        SELECT
            toString(metric) AS name,
            toUnixTimestamp(bucket) AS bucket_seconds,
            cell AS place,
            count AS n,
            sum AS total,
            min AS low,
            max AS high,
            devices AS device_count
        FROM rollups
        WHERE tenant = {tenant:String} AND period = {period:UInt32} AND res = {res:UInt8}
    )
SELECT
    name AS metric,
    toUInt32(bucket_seconds) AS bucket,
    toUInt64(place) AS cell,
    toUInt64(recounted.n) AS recounted_count,
    toUInt64(shown.n) AS shown_count,
    toFloat64(recounted.total) AS recounted_sum,
    toFloat64(shown.total) AS shown_sum,
    toUInt64(recounted.device_count) AS recounted_devices,
    toUInt64(shown.device_count) AS shown_devices,
    toUInt64(count() OVER ()) AS differing_count
FROM recounted
FULL OUTER JOIN shown USING (name, bucket_seconds, place)
WHERE recounted.n != shown.n
    OR abs(recounted.total - shown.total) > {sum_tolerance:Float64} * recounted.magnitude
    OR recounted.low != shown.low
    OR recounted.high != shown.high
    OR abs(toFloat64(recounted.device_count) - toFloat64(shown.device_count))
        > if(recounted.device_count <= {devices_exact:UInt64}, 0., {devices_tolerance:Float64} * toFloat64(recounted.device_count))
ORDER BY metric, bucket, cell
LIMIT {limit:UInt64}
SETTINGS join_use_nulls = 0
