//! The event log seam: Kafka, an embedded durable log, and memory.
