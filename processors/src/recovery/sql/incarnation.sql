-- The newest incarnation that has written anything of a partition.
SELECT toUInt16(bitShiftRight(max(newest), 48)) AS incarnation
FROM
(
    SELECT max(version) AS newest FROM {database}.rollup_log WHERE partition = {partition}
    UNION ALL
    SELECT max(version) AS newest FROM {database}.device_log WHERE partition = {partition}
    UNION ALL
    SELECT max(version) AS newest FROM {database}.ledger_log WHERE topic = '{topic}' AND partition = {partition}
)
