-- One value for each bucket, over the hexagons of resolution `res` whose centre lies in the box.
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
    AND log.cell != 0
    AND log.count > 0
    AND log.cell IN (
        SELECT seen.cell
        FROM (
            SELECT DISTINCT
                log.cell AS cell,
                h3ToGeo(h3ToParent(log.cell, {res:UInt8})) AS centre
            FROM rollup_log AS log
            WHERE ({tenant:String} = '' OR log.tenant = {tenant:String})
                AND log.metric = {metric:String}
                AND log.period = {stored_period:UInt32}
                AND log.res = {stored_res:UInt8}
                AND log.bucket >= toDateTime({from:UInt32}, 'UTC')
                AND log.bucket < toDateTime({to:UInt32}, 'UTC')
                AND log.cell != 0
        ) AS seen
        WHERE tupleElement(seen.centre, 1) BETWEEN {south:Float64} AND {north:Float64}
            AND if(
                {west:Float64} <= {east:Float64},
                tupleElement(seen.centre, 2) BETWEEN {west:Float64} AND {east:Float64},
                tupleElement(seen.centre, 2) >= {west:Float64} OR tupleElement(seen.centre, 2) <= {east:Float64}))
GROUP BY start
ORDER BY start
SETTINGS do_not_merge_across_partitions_select_final = 1, h3togeo_lon_lat_result_order = 0
