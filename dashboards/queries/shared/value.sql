-- The wanted aggregate of snapshots.
-- `if`, not `multiIf`: branches of constant conditions are left out with all that only they read.
    if({form:String} = 'count', toFloat64(sum(log.count)),
    if({form:String} = 'sum', sum(log.sum),
    if({form:String} = 'min', min(log.min),
    if({form:String} = 'max', max(log.max),
    if({form:String} = 'avg', sum(log.sum) / sum(log.count),
    if({form:String} = 'quantile',
        quantile_of_bins(sumMap(log.bin_keys, log.bin_counts), {quantile:Float64}, min(log.min), max(log.max)),
    toFloat64(devices_of_hashes(smallest_hashes(groupUniqArrayArray(log.device_hashes)))))))))) AS value
