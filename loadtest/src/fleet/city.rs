//! Where the fleet drives: cities with a grid of streets, all of it on land.
//!
//! Positions are computed on a small plane around the city's centre, which is exact to a metre at this size.

use std::f64::consts::TAU;

/// A city: its centre and how its streets lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct City {
    /// Short name, part of device names.
    pub(super) name: &'static str,
    /// Degrees.
    latitude: f64,
    /// Degrees.
    longitude: f64,
    /// How far the grid is turned against north, degrees clockwise.
    turn_deg: f64,
    /// Metres between streets.
    pub(super) block_m: f64,
    /// Metres above the sea: thin air is cold, and it is shown.
    pub(super) altitude_m: f64,
    /// Fine dust on a calm day, micrograms per cubic metre.
    pub(super) dust: f64,
    /// Mean temperature, degrees Celsius.
    pub(super) mean_temperature: f64,
}

/// Streets from the centre to the edge of the grid. With blocks of up to 250 m the grid ends within 8 km.
pub(super) const STREETS_FROM_CENTRE: i32 = 30;

/// Every such street is a main road.
const MAIN_ROAD_EVERY: i32 = 5;

/// Metres to one degree of latitude.
const METRES_PER_DEGREE: f64 = 111_320.0;

/// Inland cities only, so that no route crosses the sea.
pub(super) const CITIES: [City; 8] = [
    city("berlin", [52.5200, 13.4050], 12.0, 210.0, [34.0, 14.0, 10.0]),
    city("madrid", [40.4168, -3.7038], 25.0, 180.0, [667.0, 11.0, 15.0]),
    city("denver", [39.7392, -104.9903], 0.0, 160.0, [1609.0, 8.0, 10.5]),
    city("mexico-city", [19.4326, -99.1332], 8.0, 190.0, [2240.0, 22.0, 17.0]),
    city("sao-paulo", [-23.5505, -46.6333], 38.0, 200.0, [760.0, 16.0, 19.5]),
    city("nairobi", [-1.2921, 36.8219], 18.0, 240.0, [1795.0, 18.0, 18.5]),
    city("delhi", [28.6139, 77.2090], 5.0, 230.0, [216.0, 85.0, 25.0]),
    city("beijing", [39.9042, 116.4074], 0.0, 250.0, [44.0, 45.0, 13.0]),
];

const fn city(name: &'static str, centre: [f64; 2], turn_deg: f64, block_m: f64, climate: [f64; 3]) -> City {
    City {
        name,
        latitude: centre[0],
        longitude: centre[1],
        turn_deg,
        block_m,
        altitude_m: climate[0],
        dust: climate[1],
        mean_temperature: climate[2],
    }
}

impl City {
    /// Degrees of a place on the grid, given in blocks along and across the streets.
    pub(super) fn place(&self, along: f64, across: f64) -> (f64, f64) {
        let (sin, cos) = self.turn_deg.to_radians().sin_cos();
        let (x, y) = (along * self.block_m, across * self.block_m);
        let (east, north) = (x * cos + y * sin, y * cos - x * sin);
        let latitude = self.latitude + north / METRES_PER_DEGREE;
        let longitude = self.longitude + east / (METRES_PER_DEGREE * self.latitude.to_radians().cos());
        (round_to(latitude, 1e6), round_to(longitude, 1e6))
    }

    /// Compass heading of a drive along the grid: `(1, 0)` is along the streets, `(0, 1)` across.
    pub(super) fn heading_deg(&self, direction: (i32, i32)) -> f64 {
        let on_grid = match direction {
            (1.., _) => 90.0,
            (..=-1, _) => 270.0,
            (0, ..=-1) => 180.0,
            (0, _) => 0.0,
        };
        (on_grid + self.turn_deg) % 360.0
    }

    /// Hour of the day by the sun, 0 to 24.
    pub(super) fn solar_hour(&self, unix_ms: i64) -> f64 {
        let day_ms = 86_400_000;
        let utc_hours = unix_ms.rem_euclid(day_ms) as f64 / 3_600_000.0;
        (utc_hours + self.longitude / 15.0).rem_euclid(24.0)
    }

    /// Share of vehicles that are on the road at that hour: quiet nights, two rush hours.
    pub(super) fn activity(&self, unix_ms: i64) -> f64 {
        let hour = self.solar_hour(unix_ms);
        let peak = |at: f64, width: f64| (-((hour - at) / width).powi(2)).exp();
        0.25 + 0.65 * peak(8.5, 2.0) + 0.65 * peak(17.5, 2.5) + 0.35 * peak(13.0, 3.5)
    }

    /// A wave with one period a day that is highest at that solar hour: -1 to 1.
    pub(super) fn daily_wave(&self, unix_ms: i64, highest_at: f64) -> f64 {
        ((self.solar_hour(unix_ms) - highest_at) / 24.0 * TAU).cos()
    }
}

/// Speed limit of a street in metres a second: main roads and side streets.
pub(super) fn speed_limit_mps(street: i32) -> f64 {
    if street % MAIN_ROAD_EVERY == 0 { 14.0 } else { 8.5 }
}

/// Rounds so that the value is the same on every machine, whatever its last bit was.
pub(super) fn round_to(value: f64, steps: f64) -> f64 {
    (value * steps).round() / steps
}
