-- One value for each bucket of one device, from its measurements: rollups do not know devices. Quantiles are those of
-- the value at rank floor(quantile * (count - 1)), like those of sketches, but exact.
-- `if`, not `multiIf`: branches of constant conditions are left out with all that only they read.
-- The same name under several tenants is that many devices.
SELECT
    toUInt32(intDiv(toUnixTimestamp(log.ts), {period:UInt32}) * {period:UInt32}) AS start,
    if({form:String} = 'count', toFloat64(count()),
    if({form:String} = 'sum', sum(log.value),
    if({form:String} = 'min', min(log.value),
    if({form:String} = 'max', max(log.value),
    if({form:String} = 'avg', sum(log.value) / count(),
    if({form:String} = 'quantile',
        arraySort(groupArray(log.value))[toUInt64(floor({quantile:Float64} * (count() - 1))) + 1],
    toFloat64(uniqExact(log.tenant)))))))) AS value,
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
