-- Buckets of one period in which a level and the measurements differ. Hot ones have a snapshot from beyond the books, so
-- their sums cannot be compared: their cells are looked at one by one.
WITH
    measured AS
    (
        SELECT
            partition,
            intDiv(toUnixTimestamp(ts), {period}) * {period} AS bucket_seconds,
            count() AS n,
            min(offset) AS first_offset
        FROM {database}.measurement_log FINAL
        WHERE offset < {positions} AND ts >= toDateTime64({horizon}, 3, 'UTC')
        GROUP BY partition, bucket_seconds
        HAVING bucket_seconds >= {horizon}
    ),
    expected AS
    (
        SELECT partition, bucket_seconds, n, first_offset, arrayJoin({resolutions}) AS res
        FROM measured
    ),
    shown AS
    (
        SELECT
            partition,
            toUnixTimestamp(bucket) AS bucket_seconds,
            res,
            sum(count) AS n,
            maxIf(bitAnd(version, 281474976710655) >= {positions}, rollup_log.count > 0) AS is_hot
        FROM {database}.rollup_log FINAL
        WHERE period = {period} AND res IN ({resolutions}) AND bucket >= toDateTime({horizon}, 'UTC')
        GROUP BY partition, bucket_seconds, res
    )
SELECT
    partition,
    toUInt8(res) AS res,
    toUInt32(bucket_seconds) AS bucket,
    toUInt64(expected.n) AS expected,
    toUInt64(shown.n) AS found,
    toUInt64(expected.first_offset) AS first_offset,
    toUInt8(shown.is_hot) AS is_hot
FROM expected
FULL OUTER JOIN shown USING (partition, res, bucket_seconds)
WHERE expected.n != shown.n
ORDER BY bucket DESC, partition, res
LIMIT {limit} BY partition, res
SETTINGS join_use_nulls = 0, do_not_merge_across_partitions_select_final = 1
