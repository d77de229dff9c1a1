-- One value for each bucket, over the cells in a range of indexes: all of them, one, or all within a coarser one, whose
-- indexes follow each other.
-- `if`, not `multiIf`: branches of constant conditions are left out with all that only they read.
SELECT
    toUInt32(intDiv(toUnixTimestamp(log.bucket), {period:UInt32}) * {period:UInt32}) AS start,
    if({form:String} = 'count', toFloat64(sum(log.count)),
    if({form:String} = 'sum', sum(log.sum),
    if({form:String} = 'min', min(log.min),
    if({form:String} = 'max', max(log.max),
    if({form:String} = 'avg', sum(log.sum) / sum(log.count),
    if({form:String} = 'quantile',
        quantile_of_bins(sumMap(log.bin_keys, log.bin_counts), {quantile:Float64}, min(log.min), max(log.max)),
    toFloat64(devices_of_hashes(smallest_hashes(groupUniqArrayArray(log.device_hashes)))))))))) AS value,
    sum(log.count) AS events
FROM rollup_log AS log FINAL
WHERE ({tenant:String} = '' OR log.tenant = {tenant:String})
    AND log.metric = {metric:String}
    AND log.period = {stored_period:UInt32}
    AND log.res = {stored_res:UInt8}
    AND log.bucket >= toDateTime({from:UInt32}, 'UTC')
    AND log.bucket < toDateTime({to:UInt32}, 'UTC')
    AND log.cell BETWEEN {first_cell:UInt64} AND {last_cell:UInt64}
    AND log.count > 0
GROUP BY start
ORDER BY start
SETTINGS do_not_merge_across_partitions_select_final = 1
