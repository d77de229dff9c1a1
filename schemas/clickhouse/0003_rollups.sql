-- Snapshots of accumulators: absolute values, newest version of each key. An accumulator belongs to one log partition
-- and one generation, and a cell is the sum over both. `bucket` is part of the key, so all versions of a row fall into
-- the same partition.
CREATE TABLE IF NOT EXISTS {database}.rollup_log{on_cluster}
(
    tenant LowCardinality(String) CODEC(ZSTD(1)),
    metric LowCardinality(String) CODEC(ZSTD(1)),
    period UInt32 CODEC(ZSTD(1)),
    res UInt8 CODEC(ZSTD(1)),
    bucket DateTime('UTC') CODEC(Delta, ZSTD(1)),
    cell UInt64 CODEC(ZSTD(1)),
    partition UInt16 CODEC(ZSTD(1)),
    generation UInt64 CODEC(ZSTD(1)),
    version UInt64 CODEC(ZSTD(1)),
    count UInt64 CODEC(T64, ZSTD(1)),
    sum Float64 CODEC(ZSTD(1)),
    min Float64 CODEC(ZSTD(1)),
    max Float64 CODEC(ZSTD(1)),
    bin_keys Array(Int16) CODEC(ZSTD(1)),
    bin_counts Array(UInt64) CODEC(ZSTD(1)),
    device_hashes Array(UInt32) CODEC(ZSTD(1))
)
ENGINE = {engine_replacing rollup_log version}
PARTITION BY toYYYYMM(bucket)
PRIMARY KEY (tenant, metric, period, res, bucket, cell)
ORDER BY (tenant, metric, period, res, bucket, cell, partition, generation)
SETTINGS {log_settings};

-- One row for each cell. A snapshot with count 0 withdraws its generation: it adds nothing, and a cell with nothing
-- left is not shown. Columns that a query does not ask for are not computed.
--
-- `bin_keys`, `bin_counts` and `device_hashes` are for those who aggregate further: see merge.sql.
CREATE VIEW IF NOT EXISTS {database}.rollups{on_cluster} AS
WITH
{merge}
SELECT
    log.tenant AS tenant,
    log.metric AS metric,
    log.period AS period,
    log.res AS res,
    log.bucket AS bucket,
    log.cell AS cell,
    sum(log.count) AS count,
    sum(log.sum) AS sum,
    minIf(log.min, log.count > 0) AS min,
    maxIf(log.max, log.count > 0) AS max,
    sum(log.sum) / sum(log.count) AS avg,
    quantile_of_bins(sumMap(log.bin_keys, log.bin_counts), 0.5, minIf(log.min, log.count > 0), maxIf(log.max, log.count > 0)) AS p50,
    quantile_of_bins(sumMap(log.bin_keys, log.bin_counts), 0.9, minIf(log.min, log.count > 0), maxIf(log.max, log.count > 0)) AS p90,
    quantile_of_bins(sumMap(log.bin_keys, log.bin_counts), 0.99, minIf(log.min, log.count > 0), maxIf(log.max, log.count > 0)) AS p99,
    devices_of_hashes(smallest_hashes(groupUniqArrayArray(log.device_hashes))) AS devices,
    tupleElement(sumMap(log.bin_keys, log.bin_counts), 1) AS bin_keys,
    tupleElement(sumMap(log.bin_keys, log.bin_counts), 2) AS bin_counts,
    smallest_hashes(groupUniqArrayArray(log.device_hashes)) AS device_hashes
FROM {database}.rollup_log AS log FINAL
GROUP BY
    log.tenant,
    log.metric,
    log.period,
    log.res,
    log.bucket,
    log.cell
HAVING sum(log.count) > 0
SETTINGS do_not_merge_across_partitions_select_final = 1;
