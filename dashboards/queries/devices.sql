-- A page of devices with their last known state, in the order of their names, after the one where the last page ended.
-- With a box: those whose position lies in it. With a search, in small letters: those with it in their name. With names:
-- these alone.
SELECT
    devices.tenant AS tenant,
    devices.device AS device,
    toInt64(toUnixTimestamp64Milli(devices.ts)) AS ts_ms,
    toInt64(toUnixTimestamp64Milli(devices.received_at)) AS received_ms,
    devices.lat AS lat,
    devices.lon AS lon,
    mapKeys(devices.metrics) AS metric_names,
    mapValues(devices.metrics) AS metric_values,
    mapKeys(devices.attributes) AS attribute_names,
    mapValues(devices.attributes) AS attribute_values
FROM devices
WHERE ({tenant:String} = '' OR devices.tenant = {tenant:String})
    AND ({device:String} = '' OR devices.device = {device:String})
    AND ({named:UInt8} = 0
        OR (devices.tenant, devices.device) IN (arrayZip({tenants:Array(String)}, {devices:Array(String)})))
    AND ({search:String} = '' OR position(lower(devices.device), {search:String}) > 0)
    AND (devices.tenant, devices.device) > ({after_tenant:String}, {after_device:String})
    AND ({everywhere:UInt8} = 1 OR (
        devices.lat BETWEEN {south:Float64} AND {north:Float64}
        AND if(
            {west:Float64} <= {east:Float64},
            devices.lon BETWEEN {west:Float64} AND {east:Float64},
            devices.lon >= {west:Float64} OR devices.lon <= {east:Float64})))
ORDER BY tenant, device
LIMIT {limit:UInt32}
