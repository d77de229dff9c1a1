-- What the devices of a partition counted, in the order of the log. Of a stretch that counts on by one, above everything
-- before, only both ends are told: all between was counted as well. A count of 0 is stored like none; it is one if the
-- device goes on with 1.
WITH
    heard AS
    (
        SELECT tenant, device
        FROM {database}.measurement_log
        WHERE partition = {partition} AND offset < {end}
        GROUP BY tenant, device
        HAVING max(toUnixTimestamp64Milli(ts) + received_lag_ms) >= {heard_from_ms} AND max(seq) > 0
    ),
    events AS
    (
        SELECT
            concat(tenant, '/', device) AS key,
            offset,
            any(log.seq) AS number,
            any(multiIf(clock_suspect = 1, 2, received_lag_ms = 0, 0, 1)) AS kind,
            any(toUnixTimestamp64Milli(ts) + if(clock_suspect = 1, device_lead_ms, 0)) AS claim_ms
        FROM {database}.measurement_log AS log
        WHERE partition = {partition} AND offset < {end} AND (tenant, device) IN heard
        GROUP BY key, offset
    ),
    numbered AS
    (
        SELECT
            *,
            leadInFrame(number) OVER (PARTITION BY key ORDER BY offset ROWS BETWEEN CURRENT ROW AND 1 FOLLOWING) AS following
        FROM events
    ),
    joined AS
    (
        SELECT
            *,
            row_number() OVER (PARTITION BY key ORDER BY offset) AS place,
            lagInFrame(number) OVER (PARTITION BY key ORDER BY offset ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS number_before,
            lagInFrame(kind) OVER (PARTITION BY key ORDER BY offset ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS kind_before,
            lagInFrame(claim_ms) OVER (PARTITION BY key ORDER BY offset ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS claim_before,
            max(number) OVER (PARTITION BY key ORDER BY offset ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS highest,
            place > 1 AND number = number_before + 1 AND number = highest AND kind = kind_before AND claim_ms >= claim_before AS goes_on
        FROM numbered
        WHERE number > 0 OR following = 1
    ),
    ends AS
    (
        SELECT
            *,
            leadInFrame(goes_on) OVER (PARTITION BY key ORDER BY offset ROWS BETWEEN CURRENT ROW AND 1 FOLLOWING) AS is_followed
        FROM joined
    )
SELECT
    key,
    toUInt64(number) AS seq,
    toUInt8(kind) AS kind,
    toInt64(claim_ms) AS claim_ms,
    toUInt8(goes_on) AS goes_on
FROM ends
WHERE NOT (goes_on AND is_followed)
ORDER BY key, offset
