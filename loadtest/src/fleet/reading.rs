//! What a simulated device measures, and how it writes it.

use std::fmt::Write as _;

/// One measurement of everything a device has.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reading {
    pub(super) seq: Option<u64>,
    /// Latitude and longitude, degrees.
    pub(super) position: (f64, f64),
    pub(super) altitude_m: f64,
    pub(super) speed_mps: Option<f64>,
    pub(super) heading_deg: Option<f64>,
    pub(super) metrics: Vec<(&'static str, f64)>,
}

impl Reading {
    /// The JSON object that the device sends.
    pub(super) fn to_json(&self, device_ts_ms: i64) -> String {
        let mut text = format!(r#"{{"ts":{device_ts_ms}"#);
        let mut field = |name: &str, value: Option<f64>| {
            if let Some(value) = value {
                write!(text, r#","{name}":{value}"#).expect("writing to memory");
            }
        };
        field("lat", Some(self.position.0));
        field("lon", Some(self.position.1));
        field("alt", Some(self.altitude_m));
        field("speed_mps", self.speed_mps);
        field("heading_deg", self.heading_deg);
        if let Some(seq) = self.seq {
            write!(text, r#","seq":{seq}"#).expect("writing to memory");
        }
        text.push_str(r#","metrics":{"#);
        for (index, (name, value)) in self.metrics.iter().enumerate() {
            let separator = if index == 0 { "" } else { "," };
            write!(text, r#"{separator}"{name}":{value}"#).expect("writing to memory");
        }
        text.push_str("}}");
        text
    }
}
