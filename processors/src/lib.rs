//! From log partitions to ClickHouse rows: a pure state machine and the runner around it.
