-- Buckets with snapshots that lost state began before an offset and filled beyond it.
SELECT DISTINCT period, res, toUInt32(toUnixTimestamp(bucket)) AS bucket_seconds
FROM {database}.rollup_log FINAL
WHERE partition = {partition} AND generation < {counts_from} AND version < {version} AND count > 0
    AND bitAnd(version, 281474976710655) >= {counts_from}
ORDER BY period, res, bucket_seconds
SETTINGS do_not_merge_across_partitions_select_final = 1
