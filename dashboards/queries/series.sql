-- One value for each bucket, over the cells in a range of indexes: all of them, one, or all within a coarser one, whose
-- indexes follow each other. `value` is in shared/.
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
    AND log.cell BETWEEN {first_cell:UInt64} AND {last_cell:UInt64}
    AND log.count > 0
GROUP BY start
ORDER BY start
SETTINGS do_not_merge_across_partitions_select_final = 1
