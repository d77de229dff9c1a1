-- The last chunk of the books of a partition: of the newest incarnation, since what an earlier one has written after a
-- later one began is not counted on.
SELECT
    toUInt64(first_offset) AS first_offset,
    toUInt64(last_offset) AS last_offset,
    toUInt64(records) AS records,
    toUInt64(events) AS events,
    toUInt64(duplicates) AS duplicates,
    toUInt64(dead_letters) AS dead_letters,
    toUInt64(measurements) AS measurements,
    toInt64(toUnixTimestamp64Milli(ts_min)) AS ts_min_ms,
    toInt64(toUnixTimestamp64Milli(ts_max)) AS ts_max_ms,
    toUInt64(checksum) AS checksum,
    arrayZip(level_periods, level_resolutions, level_sinces) AS levels
FROM {database}.ledger_log FINAL
WHERE topic = '{topic}' AND partition = {partition}
ORDER BY version DESC
LIMIT 1
