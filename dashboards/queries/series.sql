-- One value for each bucket, over the cells in a range of indexes: all of them, one, or all within a coarser one, whose
-- indexes follow each other.
SELECT
    toUInt32(intDiv(toUnixTimestamp(log.bucket), {period:UInt32}) * {period:UInt32}) AS start,
    multiIf(
        {agg:String} = 'count', toFloat64(sum(log.count)),
        {agg:String} = 'sum', sum(log.sum),
        {agg:String} = 'min', min(log.min),
        {agg:String} = 'max', max(log.max),
        {agg:String} = 'avg', sum(log.sum) / sum(log.count),
        {agg:String} = 'p50', quantile_of_bins(sumMap(log.bin_keys, log.bin_counts), 0.5, min(log.min), max(log.max)),
        {agg:String} = 'p90', quantile_of_bins(sumMap(log.bin_keys, log.bin_counts), 0.9, min(log.min), max(log.max)),
        {agg:String} = 'p99', quantile_of_bins(sumMap(log.bin_keys, log.bin_counts), 0.99, min(log.min), max(log.max)),
        {agg:String} = 'devices', toFloat64(devices_of_hashes(smallest_hashes(groupUniqArrayArray(log.device_hashes)))),
        nan) AS value,
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
