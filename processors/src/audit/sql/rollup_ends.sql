-- How far the snapshots of each partition reach.
SELECT
    partition,
    toUInt64(max(bitAnd(version, 281474976710655))) AS offset_max
FROM {database}.rollup_log FINAL
WHERE count > 0
GROUP BY partition
SETTINGS do_not_merge_across_partitions_select_final = 1
