-- Measurements by chunk, with the same checksum as the task's books. `positions` gives for each partition the offset from
-- which on the books say nothing, and `starts` where they begin: rows before and beyond are counted apart.
WITH
    multiIf(offset >= {positions}, 2, offset < {starts}, 0, 1) AS place,
    intDiv(offset, {chunk_records}) AS chunk,
    toUInt32(bitAnd(xxh3(concat(tenant, '/', device)), 4294967295)) AS device_hash,
    bitXor(
        bitXor(
            bitXor(reinterpretAsUInt64(value), xxh3(toString(metric))),
            bitXor(offset * toUInt64({of_offset}), toUInt64(device_hash) * toUInt64({of_device}))),
        bitXor(toUInt64(toUnixTimestamp64Milli(ts)) * toUInt64({of_time}), cell * toUInt64({of_cell})))
        * toUInt64({of_all}) AS spread
SELECT
    toUInt16(partition) AS partition,
    toUInt64(chunk) AS chunk,
    toUInt64(count()) AS found,
    toUInt64(sum(bitXor(spread, bitShiftRight(spread, 32)))) AS checksum,
    toUInt64(max(offset)) AS offset_max,
    toUInt8(place) AS place
FROM {database}.measurement_log FINAL
GROUP BY
    partition,
    chunk,
    place
SETTINGS do_not_merge_across_partitions_select_final = 1
