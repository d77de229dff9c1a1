-- Snapshots that lost state began at or after an offset: from there on everything is counted anew.
INSERT INTO {database}.rollup_log
    (tenant, metric, period, res, bucket, cell, partition, generation, version, count, sum, min, max, bin_keys, bin_counts, device_hashes)
SELECT tenant, metric, period, res, bucket, cell, partition, generation, {version}, 0, 0, inf, -inf, [], [], []
FROM {database}.rollup_log FINAL
WHERE partition = {partition} AND generation >= {counts_from} AND version < {version} AND count > 0
SETTINGS do_not_merge_across_partitions_select_final = 1
