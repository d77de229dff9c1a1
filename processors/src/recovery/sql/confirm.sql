-- Snapshots that lost state may have gone on to fill, as they were before an offset: from now on no version of it counts.
INSERT INTO {database}.rollup_log
    (tenant, metric, period, res, bucket, cell, partition, generation, version, count, sum, min, max, bin_keys, bin_counts, device_hashes)
SELECT
    tenant, metric, period, res, bucket, cell, partition, generation,
    {version} + bitAnd(version, 281474976710655),
    count, sum, min, max, bin_keys, bin_counts, device_hashes
FROM {database}.rollup_log FINAL
WHERE partition = {partition} AND generation < {counts_from} AND version < {version} AND count > 0
    AND bitAnd(version, 281474976710655) < {counts_from}
    AND (toUnixTimestamp(bucket) + period >= {open_from_seconds} OR bitAnd(version, 281474976710655) >= {touched_from})
SETTINGS do_not_merge_across_partitions_select_final = 1
