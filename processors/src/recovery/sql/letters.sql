-- The newest letters that a partition has rows of, the newest first.
SELECT xxh3(id)
FROM {database}.dead_letter_log FINAL
WHERE partition = {partition} AND offset < {end} AND NOT startsWith(id, '{events_topic}/')
ORDER BY offset DESC
LIMIT {limit}
