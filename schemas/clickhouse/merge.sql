-- How the mergeable columns of `rollups` are read: the one place that says it, for our views and for everybody's
-- queries. Put these definitions after WITH, merge with sumMap and groupUniqArrayArray over any cells, times and
-- levels of one period and resolution, and ask:
--
--   WITH <these definitions>
--   SELECT
--       quantile_of_bins(sumMap(bin_keys, bin_counts), 0.95, min(rollups.min), max(rollups.max)) AS p95,
--       devices_of_hashes(smallest_hashes(groupUniqArrayArray(device_hashes))) AS devices
--   FROM meridian.rollups
--   WHERE tenant = 'acme' AND metric = 'temperature' AND period = 3600 AND res = 7 AND bucket >= today()
--
-- Bins are logarithmic: bin k > 0 holds values in (ratio^(k-12001), ratio^(k-12000)], bin 0 holds zero, bin -k mirrors
-- bin k. The value that stands for a bin is within 1 % of all that it holds. A quantile is that of the value at rank
-- floor(quantile * (count - 1)).
--
-- Device hashes are the 4096 smallest of the hashes seen. Fewer of them are an exact count; from 4096 on, the largest
-- kept one tells how dense they are in the 32-bit range.
    1.01 / 0.99 AS bin_ratio,
    (bin) -> if(bin = 0, 0., sign(bin) * 2 * pow(bin_ratio, abs(bin) - 12000) / (bin_ratio + 1)) AS value_of_bin,
    (bins, quantile) -> arrayFirstIndex(
        reached -> reached > quantile * (arraySum(tupleElement(bins, 2)) - 1),
        arrayCumSum(tupleElement(bins, 2))) AS position_of_quantile,
    (bins, quantile, low, high) -> if(
        empty(tupleElement(bins, 1)),
        nan,
        least(greatest(value_of_bin(tupleElement(bins, 1)[position_of_quantile(bins, quantile)]), low), high)) AS quantile_of_bins,
    (hashes) -> arraySlice(arraySort(hashes), 1, 4096) AS smallest_hashes,
    (hashes) -> if(length(hashes) < 4096, length(hashes), toUInt64(round(4095 * 4294967296. / hashes[4096]))) AS devices_of_hashes
