-- Snapshots of some buckets of one level. A genuine one has its first event among the measurements.
WITH beginnings AS
(
    SELECT
        tenant,
        metric,
        partition,
        offset,
        toUInt32(intDiv(toUnixTimestamp(ts), {period}) * {period}) AS bucket_seconds,
        if(cell = 0, toUInt64(0), h3ToParent(if(cell = 0, 617700169958293503, cell), {res})) AS place
    FROM {database}.measurement_log
    WHERE {buckets_of_ts}
        AND (partition, offset) IN
        (
            SELECT partition, generation
            FROM {database}.rollup_log
            WHERE period = {period} AND res = {res} AND {buckets_of_bucket}
        )
)
SELECT
    toString(tenant) AS tenant,
    toString(metric) AS metric,
    toUInt32(toUnixTimestamp(log.bucket)) AS bucket,
    partition,
    cell,
    generation,
    version,
    count,
    sum,
    min,
    max,
    bin_keys,
    bin_counts,
    device_hashes,
    toUInt8((tenant, metric, partition, generation, toUInt32(toUnixTimestamp(log.bucket)), cell) IN
        (SELECT tenant, metric, partition, offset, bucket_seconds, place FROM beginnings)) AS is_genuine
FROM {database}.rollup_log AS log FINAL
WHERE period = {period} AND res = {res} AND {buckets_of_bucket} AND partition IN ({partitions})
ORDER BY tenant, metric, bucket, partition, cell, generation
SETTINGS do_not_merge_across_partitions_select_final = 1
