/** Where the name of a country stands: in the middle of its largest piece. Pure. */

import type { Feature, Geometry, Point, Position } from 'geojson';

import { unwrap } from './flat';

/** Smaller countries have no room for their name at the zooms that have names, in square degrees. */
const AREA_MIN = 0.05;

export function centre(country: Feature<Geometry, { name: string }>): Feature<Point>[] {
  const { geometry, properties } = country;
  const polygons =
    geometry.type === 'Polygon' ? [geometry.coordinates] : geometry.type === 'MultiPolygon' ? geometry.coordinates : [];
  let best: { area: number; at: Position } | undefined;
  for (const [ring] of polygons) {
    if (!ring) continue;
    const found = middle(unwrap(ring));
    if (!best || found.area > best.area) best = found;
  }
  if (!best || best.area < AREA_MIN) return [];
  return [
    {
      type: 'Feature',
      geometry: { type: 'Point', coordinates: best.at },
      // Large countries first where names are too close.
      properties: { name: properties.name, rank: -best.area },
    },
  ];
}

/** Centre of gravity and area of a ring, on the plane of degrees. */
function middle(ring: Position[]): { area: number; at: Position } {
  let [area, x, y] = [0, 0, 0];
  for (let index = 0; index + 1 < ring.length; index += 1) {
    const [x0 = 0, y0 = 0] = ring[index] as Position;
    const [x1 = 0, y1 = 0] = ring[index + 1] as Position;
    const cross = x0 * y1 - x1 * y0;
    area += cross;
    x += (x0 + x1) * cross;
    y += (y0 + y1) * cross;
  }
  const at = area === 0 ? (ring[0] as Position) : [x / (3 * area), y / (3 * area)];
  return { area: Math.abs(area / 2), at };
}
