//! What every role needs and no event knows: configuration, telemetry, shutdown, retry, clock, health.
