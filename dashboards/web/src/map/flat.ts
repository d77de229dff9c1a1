/** Land from the globe to a flat map: outlines that cross the antimeridian or go around a pole. Pure.
 *
 * The atlas describes shapes on a sphere. On a plane an edge from 179° to -179° would run once around the world. */

import type { Feature, FeatureCollection, MultiPolygon, Polygon, Position } from 'geojson';

/** Positions without jumps: where a line crosses the antimeridian it goes on beyond it. The map draws that in its place. */
export function unwrap(line: readonly Position[]): Position[] {
  let before: number | undefined;
  return line.map(([longitude = 0, latitude = 0]) => {
    const turns: number = before === undefined ? 0 : Math.round((before - longitude) / 360);
    before = longitude + 360 * turns;
    return [before, latitude];
  });
}

/** A ring that can be filled. One around a pole is closed over it. */
export function flatRing(ring: readonly Position[]): Position[] {
  const flat = unwrap(ring);
  const [first, last] = [flat[0] as Position, flat.at(-1) as Position];
  const [start = 0, end = 0] = [first[0], last[0]];
  if (Math.abs(end - start) < 180) return flat;
  const mean = flat.reduce((sum, [, latitude = 0]) => sum + latitude, 0) / flat.length;
  const pole = mean < 0 ? -90 : 90;
  return [...flat, [end, pole], [start, pole], first];
}

/** All land, so that it can be filled. */
export function flatLand(land: Feature | FeatureCollection): FeatureCollection {
  const features = land.type === 'FeatureCollection' ? land.features : [land];
  return { type: 'FeatureCollection', features: features.map(flatFeature) };
}

function flatFeature(feature: Feature): Feature {
  const { geometry } = feature;
  if (geometry.type !== 'Polygon' && geometry.type !== 'MultiPolygon') return feature;
  const polygons = geometry.type === 'Polygon' ? [geometry.coordinates] : geometry.coordinates;
  const flat: MultiPolygon = { type: 'MultiPolygon', coordinates: polygons.map(flatPolygon) };
  return { ...feature, geometry: flat };
}

/** Holes stay where their outline is. */
function flatPolygon(rings: Polygon['coordinates']): Polygon['coordinates'] {
  const [outer = [], ...holes] = rings.map(flatRing);
  const at = outer[0]?.[0] ?? 0;
  const moved = holes.map((hole) => {
    const turns = Math.round((at - (hole[0]?.[0] ?? 0)) / 360);
    return hole.map(([longitude = 0, latitude = 0]) => [longitude + 360 * turns, latitude]);
  });
  return [outer, ...moved];
}
