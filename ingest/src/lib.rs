//! From MQTT brokers to the event log, acknowledged only when the log has it.
