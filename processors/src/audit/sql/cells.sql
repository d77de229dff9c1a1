-- Cells of one level in which the rollups and a recount of the measurements differ, partition by partition. Cells with a
-- snapshot from beyond the books are still being filled and are left out. Sums may differ in their last digits: they are
-- added in another order here.
WITH
    counted AS
    (
        SELECT
            partition,
            toString(tenant) AS owner,
            toString(metric) AS name,
            intDiv(toUnixTimestamp(ts), {period}) * {period} AS bucket_seconds,
            if(measurement_log.cell = 0, 0, h3ToParent(if(measurement_log.cell = 0, 617700169958293503, measurement_log.cell), {res})) AS place,
            count() AS n,
            sum(value) AS total,
            sum(abs(value)) AS magnitude,
            min(value) AS low,
            max(value) AS high,
            min(offset) AS first_offset,
            arraySlice(arraySort(groupUniqArray(toUInt32(bitAnd(xxh3(concat(tenant, '/', device)), 4294967295)))), 1, 4096) AS hashes
        FROM {database}.measurement_log FINAL
        WHERE offset < {positions} AND {buckets_of_ts}
        GROUP BY partition, owner, name, bucket_seconds, place
    ),
    shown AS
    (
        SELECT
            partition,
            toString(tenant) AS owner,
            toString(metric) AS name,
            toUnixTimestamp(bucket) AS bucket_seconds,
            rollup_log.cell AS place,
            sum(rollup_log.count) AS n,
            sum(rollup_log.sum) AS total,
            minIf(rollup_log.min, rollup_log.count > 0) AS low,
            maxIf(rollup_log.max, rollup_log.count > 0) AS high,
            sum(arraySum(bin_counts)) AS binned,
            arraySlice(arraySort(groupUniqArrayArray(device_hashes)), 1, 4096) AS hashes,
            maxIf(bitAnd(version, 281474976710655) >= {positions}, rollup_log.count > 0) AS is_hot
        FROM {database}.rollup_log FINAL
        WHERE period = {period} AND res = {res} AND {buckets_of_bucket}
        GROUP BY partition, owner, name, bucket_seconds, place
    )
SELECT
    partition,
    owner AS tenant,
    name AS metric,
    toUInt32(bucket_seconds) AS bucket,
    toUInt64(place) AS cell,
    toUInt64(counted.first_offset) AS first_offset,
    toUInt64(counted.n) AS expected_count,
    toUInt64(shown.n) AS found_count,
    toFloat64(counted.total) AS expected_sum,
    toFloat64(shown.total) AS found_sum,
    toFloat64(counted.low) AS expected_min,
    toFloat64(shown.low) AS found_min,
    toFloat64(counted.high) AS expected_max,
    toFloat64(shown.high) AS found_max,
    toUInt64(length(counted.hashes)) AS expected_devices,
    toUInt64(length(shown.hashes)) AS found_devices,
    toUInt64(count() OVER ()) AS differing_count
FROM counted
FULL OUTER JOIN shown USING (partition, owner, name, bucket_seconds, place)
WHERE NOT shown.is_hot
    AND (counted.n != shown.n
        OR abs(counted.total - shown.total) > 1e-9 * counted.magnitude
        OR (counted.n > 0 AND (counted.low != shown.low OR counted.high != shown.high))
        OR counted.hashes != shown.hashes
        OR shown.binned != shown.n)
ORDER BY bucket, tenant, metric, cell, partition
LIMIT {limit}
SETTINGS join_use_nulls = 0, do_not_merge_across_partitions_select_final = 1
