-- Rows that share their place in the log with another row of the same metric: every such row is counted twice.
SELECT toUInt64(count() - uniqExact(partition, offset, metric)) FROM measurements WHERE tenant = {tenant:String}
