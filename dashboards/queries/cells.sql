-- One value for each hexagon over a whole range of time, merged from all snapshots of it.
-- Hexagons are those of resolution `res`, made of stored ones of resolution `stored_res`; only whose centre lies in the
-- box. One more than may be answered is taken, so that too many can be told from just enough.
-- `if`, not `multiIf`: branches of constant conditions are left out with all that only they read.
-- Which cells are in is found over distinct cells, without FINAL, as a withdrawn one adds nothing: filters must not be
-- pushed down to where each is looked at once for every snapshot (half the time of the query).
-- No function of H3 may see cell 0 (no position), and conditions run in any order: `stand_in` is some cell. A
-- PREWHERE would put 0 back into rows that it drops.
SELECT
    if(
        {res:UInt8} = {stored_res:UInt8},
        log.cell,
        h3ToParent(if(log.cell = 0, {stand_in:UInt64}, log.cell), {res:UInt8})) AS hexagon,
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
    AND log.cell != 0
    AND log.count > 0
    AND log.cell IN (
        SELECT seen.cell
        FROM (
            SELECT DISTINCT log.cell AS cell
            FROM rollup_log AS log
            WHERE ({tenant:String} = '' OR log.tenant = {tenant:String})
                AND log.metric = {metric:String}
                AND log.period = {stored_period:UInt32}
                AND log.res = {stored_res:UInt8}
                AND log.bucket >= toDateTime({from:UInt32}, 'UTC')
                AND log.bucket < toDateTime({to:UInt32}, 'UTC')
                AND log.cell != 0
        ) AS seen
        WHERE tupleElement(h3ToGeo(h3ToParent(if(seen.cell = 0, {stand_in:UInt64}, seen.cell), {res:UInt8})), 1) BETWEEN {south:Float64} AND {north:Float64}
            AND if(
                {west:Float64} <= {east:Float64},
                tupleElement(h3ToGeo(h3ToParent(if(seen.cell = 0, {stand_in:UInt64}, seen.cell), {res:UInt8})), 2) BETWEEN {west:Float64} AND {east:Float64},
                tupleElement(h3ToGeo(h3ToParent(if(seen.cell = 0, {stand_in:UInt64}, seen.cell), {res:UInt8})), 2) >= {west:Float64}
                    OR tupleElement(h3ToGeo(h3ToParent(if(seen.cell = 0, {stand_in:UInt64}, seen.cell), {res:UInt8})), 2) <= {east:Float64}))
GROUP BY hexagon
ORDER BY hexagon
LIMIT {hexagons_max:UInt32}
SETTINGS do_not_merge_across_partitions_select_final = 1, h3togeo_lon_lat_result_order = 0,
    optimize_move_to_prewhere = 0, query_plan_filter_push_down = 0
