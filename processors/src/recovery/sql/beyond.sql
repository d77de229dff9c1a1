-- Whether lost state has written a snapshot at or after an offset; also one that was taken back since. Reads no more than
-- three narrow columns, where the questions after it merge all versions of all rows.
SELECT toUInt8(count() > 0) AS is_beyond
FROM
(
    SELECT 1
    FROM {database}.rollup_log
    WHERE partition = {partition} AND version < {version}
        AND (generation >= {counts_from} OR bitAnd(version, 281474976710655) >= {counts_from})
    LIMIT 1
)
