-- One value for each hexagon over a whole range of time, merged from all snapshots of it.
-- Hexagons are those of resolution `res`, made of stored ones of resolution `stored_res`; only whose centre lies in the
-- box. One more than may be answered is taken, so that too many can be told from just enough.
SELECT
    h3ToParent(log.cell, {res:UInt8}) AS hexagon,
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
    AND h3ToParent(log.cell, {res:UInt8}) IN (
        SELECT seen.hexagon
        FROM (
            SELECT DISTINCT h3ToParent(log.cell, {res:UInt8}) AS hexagon
            FROM rollup_log AS log FINAL
            WHERE ({tenant:String} = '' OR log.tenant = {tenant:String})
                AND log.metric = {metric:String}
                AND log.period = {stored_period:UInt32}
                AND log.res = {stored_res:UInt8}
                AND log.bucket >= toDateTime({from:UInt32}, 'UTC')
                AND log.bucket < toDateTime({to:UInt32}, 'UTC')
                AND log.cell != 0
                AND log.count > 0
        ) AS seen
        WHERE tupleElement(h3ToGeo(seen.hexagon), 1) BETWEEN {south:Float64} AND {north:Float64}
            AND if(
                {west:Float64} <= {east:Float64},
                tupleElement(h3ToGeo(seen.hexagon), 2) BETWEEN {west:Float64} AND {east:Float64},
                tupleElement(h3ToGeo(seen.hexagon), 2) >= {west:Float64}
                    OR tupleElement(h3ToGeo(seen.hexagon), 2) <= {east:Float64})
        LIMIT {hexagons_max:UInt32})
GROUP BY hexagon
ORDER BY hexagon
SETTINGS do_not_merge_across_partitions_select_final = 1, h3togeo_lon_lat_result_order = 0
