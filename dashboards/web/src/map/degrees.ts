/** Where degrees are written: along the edges of what is seen, whole and never cut by them. Pure. */

import type { Feature, FeatureCollection } from 'geojson';

/** Where labels can stand, in degrees: their line along each edge, and how far along it. */
export interface Frame {
  /** Meridians are named on this parallel, between these longitudes. */
  readonly meridians: { readonly latitude: number; readonly west: number; readonly east: number };
  /** Parallels are named on this meridian, between these latitudes. */
  readonly parallels: { readonly longitude: number; readonly south: number; readonly north: number };
}

/** Zooms from which the grid has lines of so many degrees, the finest last. */
export const GRID: readonly { readonly step: number; readonly zoom: number }[] = [
  { step: 10, zoom: 0 },
  { step: 1, zoom: 5.5 },
  { step: 0.1, zoom: 9 },
];

export function degreeLabels({ meridians, parallels }: Frame, zoom: number): FeatureCollection {
  const { step } = GRID.findLast((one) => zoom >= one.zoom) ?? { step: 10 };
  const features: Feature[] = [];
  for (const longitude of multiples(step, meridians.west, meridians.east)) {
    features.push(label([longitude, meridians.latitude], degrees(wrapped(longitude), step, 'E', 'W'), 'meridian'));
  }
  for (const latitude of multiples(step, parallels.south, parallels.north)) {
    features.push(label([parallels.longitude, latitude], degrees(latitude, step, 'N', 'S'), 'parallel'));
  }
  return { type: 'FeatureCollection', features };
}

function multiples(step: number, from: number, to: number): number[] {
  const first = Math.ceil(from / step - 1e-9);
  const last = Math.floor(to / step + 1e-9);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, index) =>
    Number(((first + index) * step).toFixed(1)),
  );
}

/** From -180 up to 180: a view may lie across the antimeridian. */
function wrapped(longitude: number): number {
  return longitude - 360 * Math.floor((longitude + 180) / 360);
}

function degrees(value: number, step: number, positive: string, negative: string): string {
  const size = Math.abs(value).toFixed(step < 1 ? 1 : 0);
  return Number(size) % 180 === 0 ? `${size}°` : `${size}° ${value < 0 ? negative : positive}`;
}

function label(coordinates: [number, number], text: string, side: 'meridian' | 'parallel'): Feature {
  return { type: 'Feature', properties: { label: text, side }, geometry: { type: 'Point', coordinates } };
}
