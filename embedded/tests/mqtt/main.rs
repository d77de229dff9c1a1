//! The embedded MQTT broker through its clients' eyes: rumqttc for both versions of MQTT, and `mosquitto_pub`.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]
#![allow(
    clippy::print_stdout,
    reason = "measured numbers, and words of child processes to their parents"
)]

mod backlog;
mod clients;
mod crashes;
mod redelivery;
mod rig;
mod standing;
