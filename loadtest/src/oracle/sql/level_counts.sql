-- Measurements in the cells of each level.
SELECT
    toUInt32(period) AS period,
    toUInt8(res) AS res,
    toUInt64(sum(count)) AS measurement_count
FROM rollups
WHERE tenant = {tenant:String}
GROUP BY period, res
