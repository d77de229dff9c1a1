/** Outlines of hexagons for the map, kept, as they are costly to compute. */

import { cellToBoundary, cellToLatLng } from 'h3-js';
import type { Feature, Polygon } from 'geojson';

import { HEXAGONS_KEPT } from '../limits';
import { flatRing } from './flat';

export type Hexagon = Feature<Polygon, { h3: string }>;
export type Centre = readonly [latitude: number, longitude: number];

const hexagons = new Map<string, Hexagon>();
const centres = new Map<string, Centre>();

/** Forgets the oldest beyond the bound. */
function keep<T>(kept: Map<string, T>, cell: string, value: T): T {
  if (kept.size >= HEXAGONS_KEPT) {
    const oldest = kept.keys().next().value;
    if (oldest !== undefined) kept.delete(oldest);
  }
  kept.set(cell, value);
  return value;
}

/** A closed outline. One across the antimeridian goes on beyond 180 degrees, as the map wants it; one around a pole is
 * closed over it. */
export function outline(cell: string): [number, number][] {
  return flatRing(cellToBoundary(cell, true)) as [number, number][];
}

export function hexagon(cell: string): Hexagon {
  return (
    hexagons.get(cell) ??
    keep(hexagons, cell, {
      type: 'Feature',
      geometry: { type: 'Polygon', coordinates: [outline(cell)] },
      properties: { h3: cell },
    })
  );
}

export function centre(cell: string): Centre {
  return centres.get(cell) ?? keep(centres, cell, cellToLatLng(cell) as Centre);
}
