//! The load tester against real backing services: Mosquitto, and the ClickHouse engine with the product's own schema.

mod engine;
mod oracle;
mod publisher;
mod reference;
mod replay;
