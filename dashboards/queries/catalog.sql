-- Metrics of each tenant, with the time of the newest value. What was written twice changes no maximum.
SELECT
    log.tenant AS tenant,
    log.metric AS metric,
    toInt64(toUnixTimestamp64Milli(max(log.ts))) AS last_ms
FROM measurement_log AS log
WHERE ({tenant:String} = '' OR log.tenant = {tenant:String})
GROUP BY log.tenant, log.metric
ORDER BY tenant, metric
LIMIT {limit:UInt32}
