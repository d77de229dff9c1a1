-- Where a device was: one position for each event that has one, in the order of time and then of the log, after the one
-- where the last page ended. An event has one row for each metric, all at one place in the log.
SELECT
    toInt64(toUnixTimestamp64Milli(log.ts)) AS ts_ms,
    log.partition AS partition,
    log.offset AS offset,
    any(log.latitude_e7) / 1e7 AS lat,
    any(log.longitude_e7) / 1e7 AS lon
FROM measurement_log AS log FINAL
WHERE ({tenant:String} = '' OR log.tenant = {tenant:String})
    AND log.device = {device:String}
    AND log.ts >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
    AND log.ts < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
    AND log.latitude_e7 != -2147483648
    AND ({is_first:UInt8} = 1 OR (log.ts, log.partition, log.offset)
        > (fromUnixTimestamp64Milli({after_ms:Int64}, 'UTC'), {after_partition:UInt16}, {after_offset:UInt64}))
GROUP BY log.ts, log.partition, log.offset
ORDER BY log.ts, log.partition, log.offset
LIMIT {limit:UInt32}
SETTINGS do_not_merge_across_partitions_select_final = 1
