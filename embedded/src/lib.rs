//! Backing services in process: MQTT broker and the ClickHouse engine behind its HTTP interface.
