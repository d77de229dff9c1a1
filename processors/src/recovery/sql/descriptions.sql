-- What is known of the devices of a partition beside their measurements.
SELECT
    concat(tenant, '/', device) AS key,
    toInt64(toUnixTimestamp64Milli(ts)) AS ts_ms,
    toInt64(toUnixTimestamp64Milli(received_at)) AS received_at_ms,
    seq,
    clock_suspect,
    clock_claims,
    clock_skew_ms,
    clock_future,
    clock_past,
    toInt64(toUnixTimestamp64Milli(clock_seen_at)) AS clock_seen_at_ms,
    toString(broker) AS broker,
    metric_names,
    metric_values,
    attribute_names,
    attribute_values
FROM {database}.device_log FINAL
WHERE partition = {partition}
