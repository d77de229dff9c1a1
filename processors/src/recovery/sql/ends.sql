-- Where the books of every partition end, by the newest incarnation that has written some.
SELECT
    topic,
    partition,
    toUInt16(bitShiftRight(max(version), 48)) AS incarnation,
    toUInt64(argMax(last_offset, version)) + 1 AS end
FROM {database}.ledger_log
GROUP BY topic, partition
