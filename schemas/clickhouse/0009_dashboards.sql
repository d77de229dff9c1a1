-- Charts for the page `/dashboard` that ClickHouse servers have: it draws what any table with these columns says. Each
-- query gives Unix times, labels where there are several lines, and values, in the order of time; `rounding` and `seconds`
-- are the page's own parameters. Times before the first row of a table are left out, so an empty table draws nothing.
--
-- Rates come from the coarsest level of the shortest period: the fewest rows, and each level counts everything. What is only
-- known of now is drawn as a line over the whole time.
CREATE OR REPLACE VIEW {database}.dashboards{on_cluster} AS
SELECT
    'Meridian' AS dashboard,
    tupleElement(chart, 1) AS title,
    tupleElement(chart, 2) AS query
FROM
(
    SELECT arrayJoin([
        ('Measurements a second', $chart$
WITH (SELECT min((period, res)) FROM {database}.rollup_log WHERE bucket >= now() - {seconds:UInt32}) AS level
SELECT
    toStartOfInterval(bucket, toIntervalSecond(greatest({rounding:UInt32}, 60)))::INT AS t,
    sum(count) / greatest({rounding:UInt32}, 60) AS measurements
FROM {database}.rollup_log FINAL
WHERE bucket >= now() - {seconds:UInt32} AND (period, res) = level
GROUP BY t
ORDER BY t
$chart$),
        ('Measurements a second, by metric (the ten most frequent)', $chart$
WITH
    (SELECT min((period, res)) FROM {database}.rollup_log WHERE bucket >= now() - {seconds:UInt32}) AS level,
    (SELECT topKWeighted(10)(toString(metric), count) FROM {database}.rollup_log
        WHERE bucket >= now() - {seconds:UInt32} AND (period, res) = level) AS frequent
SELECT
    toStartOfInterval(bucket, toIntervalSecond(greatest({rounding:UInt32}, 60)))::INT AS t,
    toString(metric) AS label,
    sum(count) / greatest({rounding:UInt32}, 60) AS measurements
FROM {database}.rollup_log FINAL
WHERE bucket >= now() - {seconds:UInt32} AND (period, res) = level AND has(frequent, toString(metric))
GROUP BY t, label
ORDER BY t, label
$chart$),
        ('Freshness now: seconds since the newest event, by tenant', $chart$
SELECT t, label, seconds
FROM (
    SELECT
        toString(tenant) AS label,
        greatest(dateDiff('millisecond', max(least(ts, received_at)), now64(3)) / 1000, 0) AS seconds,
        arrayJoin([toUnixTimestamp(now()) - {seconds:UInt32}, toUnixTimestamp(now())])::INT AS t
    FROM {database}.device_log
    GROUP BY tenant
)
ORDER BY t, label
$chart$),
        ('Lag: seconds from the last event of each device to its receipt', $chart$
SELECT
    toStartOfInterval(received_at, toIntervalSecond({rounding:UInt32}))::INT AS t,
    quantile(0.5)(dateDiff('millisecond', ts, received_at) / 1000) AS p50,
    quantile(0.99)(dateDiff('millisecond', ts, received_at) / 1000) AS p99
FROM {database}.devices
WHERE received_at >= now() - {seconds:UInt32}
GROUP BY t
ORDER BY t
$chart$),
        ('Devices, by the time of their last event', $chart$
SELECT
    toStartOfInterval(ts, toIntervalSecond({rounding:UInt32}))::INT AS t,
    count() AS devices
FROM {database}.devices
WHERE ts >= now() - {seconds:UInt32}
GROUP BY t
ORDER BY t
$chart$),
        ('Dead letters, by reason', $chart$
SELECT
    toStartOfInterval(received_at, toIntervalSecond({rounding:UInt32}))::INT AS t,
    toString(reason) AS label,
    count() AS letters
FROM {database}.dead_letters
WHERE received_at >= now() - {seconds:UInt32}
GROUP BY t, label
ORDER BY t, label
$chart$),
        ('Rows now, by table, old versions included', $chart$
SELECT t, label, row_count
FROM (
    SELECT
        table AS label,
        sum(rows) AS row_count,
        arrayJoin([toUnixTimestamp(now()) - {seconds:UInt32}, toUnixTimestamp(now())])::INT AS t
    FROM system.parts
    WHERE database = '{database}' AND active
    GROUP BY table
)
ORDER BY t, label
$chart$),
        ('Bytes on disk now, by table', $chart$
SELECT t, label, size
FROM (
    SELECT
        table AS label,
        sum(bytes_on_disk) AS size,
        arrayJoin([toUnixTimestamp(now()) - {seconds:UInt32}, toUnixTimestamp(now())])::INT AS t
    FROM system.parts
    WHERE database = '{database}' AND active
    GROUP BY table
)
ORDER BY t, label
$chart$),
        ('Parts now, by table', $chart$
SELECT t, label, parts
FROM (
    SELECT
        table AS label,
        count() AS parts,
        arrayJoin([toUnixTimestamp(now()) - {seconds:UInt32}, toUnixTimestamp(now())])::INT AS t
    FROM system.parts
    WHERE database = '{database}' AND active
    GROUP BY table
)
ORDER BY t, label
$chart$)
    ]) AS chart
);
