-- The newest believed time of what is stored: not later than its receipt. Old versions of a row can only say less, so
-- they need not be left out. 0: nothing is stored. And the same of what was received before a moment.
SELECT
    toInt64(toUnixTimestamp64Milli(max(least(log.ts, log.received_at)))) AS newest_ms,
    toInt64(toUnixTimestamp64Milli(maxIf(
        least(log.ts, log.received_at),
        toUnixTimestamp64Milli(log.received_at) <= {received_ms:Int64}
    ))) AS settled_ms
FROM device_log AS log
WHERE ({tenant:String} = '' OR log.tenant = {tenant:String})
