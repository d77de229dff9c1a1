-- One value for each bucket, over the hexagons of resolution `res` whose centre lies in the box.
-- `value` and `in_box` are in shared/, where the last settings are explained.
SELECT
    toUInt32(intDiv(toUnixTimestamp(log.bucket), {period:UInt32}) * {period:UInt32}) AS start,
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
GROUP BY start
ORDER BY start
SETTINGS do_not_merge_across_partitions_select_final = 1, h3togeo_lon_lat_result_order = 0,
    optimize_move_to_prewhere = 0, query_plan_filter_push_down = 0
