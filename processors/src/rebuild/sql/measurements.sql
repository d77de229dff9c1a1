-- Measurements of some buckets, in the order in which the tasks of the partitions counted them. `positions` gives for
-- each partition the offset of its newest checkpoint.
SELECT
    toString(tenant) AS tenant,
    toString(metric) AS metric,
    toUInt32(intDiv(toUnixTimestamp(ts), {period}) * {period}) AS bucket,
    partition,
    offset,
    cell,
    value,
    toUInt32(bitAnd(xxh3(concat(tenant, '/', device)), 4294967295)) AS device_hash
FROM {database}.measurement_log FINAL
WHERE offset < {positions} AND {buckets_of_ts}
ORDER BY tenant, metric, bucket, partition, offset
SETTINGS do_not_merge_across_partitions_select_final = 1
