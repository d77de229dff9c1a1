-- One value for each bucket of one device, from its measurements: rollups do not know devices. Quantiles are those of
-- the value at rank floor(quantile * (count - 1)), like those of sketches, but exact.
SELECT
    toUInt32(intDiv(toUnixTimestamp(log.ts), {period:UInt32}) * {period:UInt32}) AS start,
    multiIf(
        {agg:String} = 'count', toFloat64(count()),
        {agg:String} = 'sum', sum(log.value),
        {agg:String} = 'min', min(log.value),
        {agg:String} = 'max', max(log.value),
        {agg:String} = 'avg', sum(log.value) / count(),
        {agg:String} = 'p50', arraySort(groupArray(log.value))[toUInt64(floor(0.5 * (count() - 1))) + 1],
        {agg:String} = 'p90', arraySort(groupArray(log.value))[toUInt64(floor(0.9 * (count() - 1))) + 1],
        {agg:String} = 'p99', arraySort(groupArray(log.value))[toUInt64(floor(0.99 * (count() - 1))) + 1],
        {agg:String} = 'devices', toFloat64(uniqExact(log.tenant)),
        nan) AS value,
    count() AS events
FROM measurement_log AS log FINAL
WHERE ({tenant:String} = '' OR log.tenant = {tenant:String})
    AND log.metric = {metric:String}
    AND log.device = {device:String}
    AND log.ts >= fromUnixTimestamp64Milli(toInt64({from:UInt32}) * 1000, 'UTC')
    AND log.ts < fromUnixTimestamp64Milli(toInt64({to:UInt32}) * 1000, 'UTC')
GROUP BY start
ORDER BY start
SETTINGS do_not_merge_across_partitions_select_final = 1
