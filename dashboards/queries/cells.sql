-- One value for each hexagon over a whole range of time, merged from all snapshots of it.
-- Hexagons are those of resolution `res`, made of stored ones of resolution `stored_res`; only whose centre lies in the
-- box. One more than may be answered is taken, so that too many can be told from just enough.
-- `value` and `in_box` are in shared/, where `stand_in` and the last settings are explained.
SELECT
    if(
        {res:UInt8} = {stored_res:UInt8},
        log.cell,
        h3ToParent(if(log.cell = 0, {stand_in:UInt64}, log.cell), {res:UInt8})) AS hexagon,
    value,
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
    AND log.cell IN (SELECT in_box.cell FROM in_box)
GROUP BY hexagon
ORDER BY hexagon
LIMIT {hexagons_max:UInt32}
SETTINGS do_not_merge_across_partitions_select_final = 1, h3togeo_lon_lat_result_order = 0,
    optimize_move_to_prewhere = 0, query_plan_filter_push_down = 0
