//! GeoJSON as RFC 7946 has it: longitude first, outer rings against the clock, nothing across the antimeridian.
//!
//! Pure arithmetic. A hexagon that crosses the antimeridian becomes two polygons, one that holds a pole is drawn up to
//! the pole.

use h3o::CellIndex;
use serde_json::{Value, json};

/// Longitude and latitude in degrees.
type Position = (f64, f64);

/// A collection of features, written one after the other: all of them as values would take ten times the memory of the
/// document.
pub(crate) fn collection(features: impl Iterator<Item = Value>, members: Value) -> Vec<u8> {
    let mut head = json!({"type": "FeatureCollection"});
    if let (Some(head), Value::Object(members)) = (head.as_object_mut(), members) {
        head.extend(members);
    }
    let write = |document: &mut Vec<u8>, value: &Value| {
        serde_json::to_writer(document, value).expect("text and numbers are always JSON");
    };
    let mut document = Vec::new();
    write(&mut document, &head);
    // Its last brace comes after the features.
    document.pop();
    document.extend(b",\"features\":[");
    for (index, feature) in features.enumerate() {
        if index > 0 {
            document.push(b',');
        }
        write(&mut document, &feature);
    }
    document.extend(b"]}");
    document
}

pub(crate) fn point(lat: f64, lon: f64) -> Value {
    match lat.is_finite() && lon.is_finite() {
        true => json!({"type": "Point", "coordinates": [lon, lat]}),
        false => Value::Null,
    }
}

/// A path, in pieces where it crosses the antimeridian.
pub(crate) fn path(positions: &[Position]) -> Value {
    let mut pieces: Vec<Vec<Position>> = vec![Vec::new()];
    let mut last: Option<Position> = None;
    for &(lon, lat) in positions {
        if let Some((last_lon, last_lat)) = last
            && (lon - last_lon).abs() > 180.0
        {
            let edge = 180.0_f64.copysign(last_lon);
            let unwrapped = lon + 360.0_f64.copysign(last_lon);
            let part = (edge - last_lon) / (unwrapped - last_lon);
            let crossing = match part.is_finite() {
                true => last_lat + (lat - last_lat) * part,
                false => lat,
            };
            pieces.last_mut().expect("there is one").push((edge, crossing));
            pieces.push(vec![(-edge, crossing)]);
        }
        pieces.last_mut().expect("there is one").push((lon, lat));
        last = Some((lon, lat));
    }
    // A line has two positions at least.
    let lines: Vec<Value> = pieces
        .iter()
        .filter(|piece| piece.len() > 1)
        .map(|piece| line(piece))
        .collect();
    json!({"type": "MultiLineString", "coordinates": lines})
}

/// The outline of an H3 cell.
pub(crate) fn hexagon(cell: CellIndex) -> Value {
    let boundary = cell.boundary();
    let corners: Vec<Position> = boundary.iter().map(|corner| (corner.lng(), corner.lat())).collect();
    let (unwrapped, turn) = unwrap(&corners);
    if turn != 0.0 {
        return json!({"type": "Polygon", "coordinates": [ring(&around_pole(&unwrapped))]});
    }
    let mut pieces = Vec::new();
    for shift in [-360.0, 0.0, 360.0] {
        let shifted: Vec<Position> = unwrapped.iter().map(|(lon, lat)| (lon + shift, *lat)).collect();
        let inside = clip(&clip(&shifted, -180.0, 1.0), 180.0, -1.0);
        if area(&inside).abs() > 0.0 {
            pieces.push(vec![ring(&inside)]);
        }
    }
    match &pieces[..] {
        [only] => json!({"type": "Polygon", "coordinates": only}),
        several => json!({"type": "MultiPolygon", "coordinates": several}),
    }
}

/// The corners with longitudes that go on beyond 180 degrees, and by how much the last step back misses the start: a
/// full turn if a pole is inside.
fn unwrap(corners: &[Position]) -> (Vec<Position>, f64) {
    let nearest = |lon: f64, to: f64| lon + 360.0 * ((to - lon) / 360.0).round();
    let mut unwrapped: Vec<Position> = Vec::with_capacity(corners.len());
    for &(lon, lat) in corners {
        let lon = unwrapped.last().map_or(lon, |(last, _)| nearest(lon, *last));
        unwrapped.push((lon, lat));
    }
    let (first, last) = (unwrapped[0].0, unwrapped[unwrapped.len() - 1].0);
    let turn = nearest(first, last) - first;
    (unwrapped, turn)
}

/// A ring around a pole, cut open at the antimeridian and led along it to the pole.
fn around_pole(unwrapped: &[Position]) -> Vec<Position> {
    let pole = 90.0_f64.copysign(unwrapped[0].1);
    let wrap = |lon: f64| (lon + 180.0).rem_euclid(360.0) - 180.0;
    let mut ring: Vec<Position> = unwrapped.iter().map(|(lon, lat)| (wrap(*lon), *lat)).collect();
    ring.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (first, last) = (ring[0], ring[ring.len() - 1]);
    // Where the edge that crosses the antimeridian does so.
    let part = (180.0 - last.0) / (first.0 + 360.0 - last.0);
    let crossing = last.1 + (first.1 - last.1) * part;
    ring.insert(0, (-180.0, crossing));
    ring.push((180.0, crossing));
    ring.push((180.0, pole));
    ring.push((-180.0, pole));
    ring
}

/// What of a convex ring lies at `side * (lon - edge) >= 0`.
fn clip(ring: &[Position], edge: f64, side: f64) -> Vec<Position> {
    let mut kept = Vec::with_capacity(ring.len() + 2);
    for (index, &(lon, lat)) in ring.iter().enumerate() {
        let (last_lon, last_lat) = ring[(index + ring.len() - 1) % ring.len()];
        let (is_in, was_in) = (side * (lon - edge) >= 0.0, side * (last_lon - edge) >= 0.0);
        if is_in != was_in {
            let part = (edge - last_lon) / (lon - last_lon);
            kept.push((edge, last_lat + (lat - last_lat) * part));
        }
        if is_in {
            kept.push((lon, lat));
        }
    }
    kept
}

/// Twice the signed area in square degrees: positive against the clock.
fn area(ring: &[Position]) -> f64 {
    let next = |index: usize| ring[(index + 1) % ring.len()];
    let parts = ring
        .iter()
        .enumerate()
        .map(|(index, (lon, lat))| lon * next(index).1 - next(index).0 * lat);
    parts.sum()
}

/// A closed ring against the clock.
fn ring(corners: &[Position]) -> Value {
    let mut corners = corners.to_vec();
    if area(&corners) < 0.0 {
        corners.reverse();
    }
    corners.push(corners[0]);
    line(&corners)
}

fn line(positions: &[Position]) -> Value {
    // A tenth of a metre, as RFC 7946 suggests.
    let round = |degrees: f64| (degrees * 1e6).round() / 1e6 + 0.0;
    let positions: Vec<Value> = positions
        .iter()
        .map(|(lon, lat)| json!([round(*lon), round(*lat)]))
        .collect();
    Value::Array(positions)
}

#[cfg(test)]
mod tests {
    use h3o::{LatLng, Resolution};

    use super::*;

    fn cell(lat: f64, lon: f64, resolution: Resolution) -> CellIndex {
        LatLng::new(lat, lon).unwrap().to_cell(resolution)
    }

    fn rings(geometry: &Value) -> Vec<Vec<Position>> {
        let coordinates = geometry["coordinates"].as_array().unwrap();
        let polygons: Vec<&Value> = match geometry["type"].as_str().unwrap() {
            "Polygon" => vec![&coordinates[0]],
            _ => coordinates.iter().map(|polygon| &polygon[0]).collect(),
        };
        let position = |pair: &Value| (pair[0].as_f64().unwrap(), pair[1].as_f64().unwrap());
        polygons
            .iter()
            .map(|ring| ring.as_array().unwrap().iter().map(position).collect())
            .collect()
    }

    #[test]
    fn a_collection_is_a_document_with_its_members_whatever_is_in_it() {
        for count in [0, 1, 3] {
            let features: Vec<Value> = (0..count).map(|id| json!({"type": "Feature", "id": id})).collect();
            let expected = json!({"type": "FeatureCollection", "next": "a\"}", "features": features});
            let written = collection(features.into_iter(), json!({"next": "a\"}"}));
            assert_eq!(serde_json::from_slice::<Value>(&written).unwrap(), expected);
        }
    }

    #[test]
    fn rings_are_closed_against_the_clock_and_stay_on_the_map() {
        for (lat, lon) in [
            (0.0, 0.0),
            (37.0, -122.0),
            (10.0, 180.0),
            (-60.0, -179.99),
            (90.0, 0.0),
            (-90.0, 0.0),
            (0.0, 179.999),
        ] {
            for resolution in [Resolution::Zero, Resolution::Three, Resolution::Nine] {
                let geometry = hexagon(cell(lat, lon, resolution));
                for ring in rings(&geometry) {
                    assert!(ring.len() >= 4 && ring.first() == ring.last(), "{geometry}");
                    assert!(area(&ring[1..]) > 0.0, "{geometry}");
                    let widest = ring
                        .windows(2)
                        .map(|pair| (pair[0].0 - pair[1].0).abs())
                        .fold(0.0, f64::max);
                    let has_pole = ring.iter().any(|position| position.1.abs() == 90.0);
                    assert!(widest <= 180.0 || has_pole, "{geometry}");
                    assert!(
                        ring.iter()
                            .all(|position| position.0.abs() <= 180.0 && position.1.abs() <= 90.0),
                        "{geometry}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_hexagon_on_the_antimeridian_is_two_polygons_and_one_at_a_pole_reaches_it() {
        let crossing = hexagon(cell(10.0, 180.0, Resolution::Three));
        assert_eq!(crossing["type"], "MultiPolygon");
        assert_eq!(rings(&crossing).len(), 2);
        let polar = hexagon(cell(90.0, 0.0, Resolution::Three));
        assert!(rings(&polar)[0].contains(&(180.0, 90.0)), "{polar}");
    }

    #[test]
    fn a_path_is_cut_where_it_crosses_the_antimeridian() {
        let geometry = path(&[(179.0, 0.0), (-179.0, 2.0), (-178.0, 3.0)]);
        let expected = json!([
            [[179.0, 0.0], [180.0, 1.0]],
            [[-180.0, 1.0], [-179.0, 2.0], [-178.0, 3.0]]
        ]);
        assert_eq!(geometry["coordinates"], expected);
    }
}
