-- The newest believed time of what is stored: not later than its receipt. Old versions of a row can only say less, so
-- they need not be left out. 0: nothing is stored. The same of what was received before a moment, and of what the books
-- have: they are written only after everything that they count, in all tables.
WITH
    (
        SELECT maxMap(map(books.partition, books.version))
        FROM ledger_log AS books
        WHERE books.topic = {events_topic:String}
    ) AS booked
SELECT
    toInt64(toUnixTimestamp64Milli(max(least(log.ts, log.received_at)))) AS newest_ms,
    toInt64(toUnixTimestamp64Milli(maxIf(
        least(log.ts, log.received_at),
        toUnixTimestamp64Milli(log.received_at) <= {received_ms:Int64}
    ))) AS waited_ms,
    toInt64(toUnixTimestamp64Milli(maxIf(
        least(log.ts, log.received_at),
        log.version <= booked[log.partition]
    ))) AS booked_ms
FROM device_log AS log
WHERE ({tenant:String} = '' OR log.tenant = {tenant:String})
