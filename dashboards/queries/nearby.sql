-- Devices by great-circle distance on a sphere with the mean radius of the Earth. The latitudes within reach are looked
-- at first; everything else about the distance is exact, antimeridian and poles included. Reads the last position of
-- every device of the tenant.
SELECT
    near.tenant AS tenant,
    near.device AS device,
    near.ts_ms AS ts_ms,
    near.lat AS lat,
    near.lon AS lon,
    near.distance_m AS distance_m
FROM (
    SELECT
        devices.tenant AS tenant,
        devices.device AS device,
        toInt64(toUnixTimestamp64Milli(devices.ts)) AS ts_ms,
        devices.lat AS lat,
        devices.lon AS lon,
        pow(sin(radians(devices.lat - {lat:Float64}) / 2), 2)
            + cos(radians({lat:Float64})) * cos(radians(devices.lat))
            * pow(sin(radians(devices.lon - {lon:Float64}) / 2), 2) AS haversine,
        2 * {earth_radius_m:Float64} * atan2(sqrt(haversine), sqrt(greatest(1 - haversine, 0.))) AS distance_m
    FROM devices
    WHERE ({tenant:String} = '' OR devices.tenant = {tenant:String})
        AND NOT isNaN(devices.lat)
        AND abs(devices.lat - {lat:Float64}) <= {latitudes:Float64}
) AS near
WHERE near.distance_m <= {radius_m:Float64}
ORDER BY distance_m, tenant, device
LIMIT {limit:UInt32}
