-- Where devices were last, as each log partition knows it: a page in the order of tenant, device and partition, after the
-- one where the last page ended. Who merges them can take in later ones by their version.
-- The bounds before the last one say nothing new: only they let the server skip what comes before.
SELECT
    log.tenant AS tenant,
    log.device AS device,
    log.partition AS partition,
    log.version AS version,
    toInt64(toUnixTimestamp64Milli(log.ts)) AS ts_ms,
    log.latitude_e7 AS latitude_e7,
    log.longitude_e7 AS longitude_e7
FROM device_log AS log FINAL
WHERE ({tenant:String} = '' OR log.tenant = {tenant:String})
    AND log.tenant >= {after_tenant:String}
    AND (log.tenant > {after_tenant:String} OR log.device >= {after_device:String})
    AND ({is_first:UInt8} = 1 OR (log.tenant, log.device, log.partition)
        > ({after_tenant:String}, {after_device:String}, {after_partition:UInt16}))
ORDER BY log.tenant, log.device, log.partition
LIMIT {limit:UInt32}
