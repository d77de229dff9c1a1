-- Measurements by chunk, with the same checksum as the task's books. `positions` gives for each partition the offset from
-- which on the books say nothing, and `starts` where they begin: rows before and beyond are counted apart.
SELECT
    partition,
    toUInt64(chunk_number) AS chunk,
    toUInt64(count()) AS found,
    toUInt64(sum(bitXor(spread, bitShiftRight(spread, 32)))) AS checksum,
    toUInt64(max(offset)) AS offset_max,
    toUInt8(side) AS place
FROM
(
    SELECT
        partition,
        offset,
        intDiv(offset, {chunk_records}) AS chunk_number,
        multiIf(offset >= {positions}, 2, offset < {starts}, 0, 1) AS side,
        bitXor(
            bitXor(
                bitXor(reinterpretAsUInt64(value), xxh3(toString(metric))),
                bitXor(
                    offset * toUInt64({of_offset}),
                    bitAnd(xxh3(concat(tenant, '/', device)), 4294967295) * toUInt64({of_device}))),
            bitXor(toUInt64(toUnixTimestamp64Milli(ts)) * toUInt64({of_time}), cell * toUInt64({of_cell})))
            * toUInt64({of_all}) AS spread
    FROM {database}.measurement_log FINAL
    SETTINGS do_not_merge_across_partitions_select_final = 1
)
GROUP BY
    partition,
    chunk_number,
    side
