-- The newest incarnation that has written books, of every partition that has any.
SELECT topic, partition, toUInt16(bitShiftRight(max(version), 48)) AS incarnation
FROM {database}.ledger_log
GROUP BY topic, partition
