-- The newest believed time of what is stored: not later than its receipt. Old versions of a row can only say less, so
-- they need not be left out. 0: nothing is stored.
SELECT toInt64(toUnixTimestamp64Milli(max(least(log.ts, log.received_at)))) AS newest_ms
FROM device_log AS log
WHERE ({tenant:String} = '' OR log.tenant = {tenant:String})
