-- How many hexagons an answer would have at each coarser resolution: asked only when there were too many.
-- No function of H3 may see cell 0 (no position), and conditions run in any order: `stand_in` is some cell. A
-- PREWHERE would put 0 back into rows that it drops.
SELECT
    coarser.res AS res,
    uniqExact(coarser.hexagon) AS hexagons
FROM (
    SELECT
        arrayJoin(range({res:UInt8})) AS res,
        h3ToParent(seen.hexagon, toUInt8(res)) AS hexagon
    FROM (
        SELECT DISTINCT h3ToParent(if(log.cell = 0, {stand_in:UInt64}, log.cell), {res:UInt8}) AS hexagon
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
) AS coarser
WHERE tupleElement(h3ToGeo(coarser.hexagon), 1) BETWEEN {south:Float64} AND {north:Float64}
    AND if(
        {west:Float64} <= {east:Float64},
        tupleElement(h3ToGeo(coarser.hexagon), 2) BETWEEN {west:Float64} AND {east:Float64},
        tupleElement(h3ToGeo(coarser.hexagon), 2) >= {west:Float64}
            OR tupleElement(h3ToGeo(coarser.hexagon), 2) <= {east:Float64})
GROUP BY coarser.res
HAVING hexagons <= {hexagons_max:UInt32}
ORDER BY coarser.res DESC
LIMIT 1
SETTINGS do_not_merge_across_partitions_select_final = 1, h3togeo_lon_lat_result_order = 0,
    optimize_move_to_prewhere = 0
