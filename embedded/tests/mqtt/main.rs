//! The embedded MQTT broker through its clients' eyes: rumqttc for both versions of MQTT, and `mosquitto_pub`.

mod backlog;
mod clients;
mod redelivery;
mod rig;
