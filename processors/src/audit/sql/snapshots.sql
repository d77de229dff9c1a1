-- How many snapshots of one level there are in some buckets.
SELECT toUInt64(count())
FROM {database}.rollup_log FINAL
WHERE period = {period} AND res = {res} AND {buckets_of_bucket} AND count > 0
SETTINGS do_not_merge_across_partitions_select_final = 1
