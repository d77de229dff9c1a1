-- The books as they were when counting began anew: from now on no version of lost state counts.
INSERT INTO {database}.ledger_log
SELECT * REPLACE({version} + bitAnd(version, 281474976710655) AS version)
FROM {database}.ledger_log FINAL
WHERE topic = '{topic}' AND partition = {partition} AND last_offset < {counts_from} AND version < {version}
ORDER BY version DESC
LIMIT 1
