-- The snapshots of all hexagons in one bucket, as accumulators hold them: who merges them can take in later ones by their
-- version. Withdrawn ones are among them, since their version may be the newest.
SELECT
    log.cell AS cell,
    log.partition AS partition,
    log.generation AS generation,
    log.version AS version,
    log.count AS count,
    log.sum AS sum,
    log.min AS min,
    log.max AS max
FROM rollup_log AS log FINAL
WHERE ({tenant:String} = '' OR log.tenant = {tenant:String})
    AND log.metric = {metric:String}
    AND log.period = {stored_period:UInt32}
    AND log.res = {stored_res:UInt8}
    AND log.bucket = toDateTime({from:UInt32}, 'UTC')
    AND log.cell != 0
LIMIT {rows_max:UInt32}
SETTINGS do_not_merge_across_partitions_select_final = 1
