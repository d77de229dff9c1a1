/** The grid of degrees: how fine it is, where its lines run, and where degrees are written, along the edges of what is
 * seen, whole and never cut by them. Pure. */

import type { Feature, FeatureCollection, Point } from 'geojson';

import type { Cover } from './covers';

/** Where labels can stand, in degrees: their line along each edge, and how far along it. */
export interface Frame {
  /** Meridians are named on this parallel, between these longitudes. */
  readonly meridians: { readonly latitude: number; readonly west: number; readonly east: number };
  /** Parallels are named on this meridian, between these latitudes. */
  readonly parallels: { readonly longitude: number; readonly south: number; readonly north: number };
}

/** Steps of a grid, in degrees. Neighbours are no further apart than [`LINE_PX`] allows. */
const STEPS = [
  0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60,
] as const;

/** How far lines are apart, in pixels: close enough to read a place by them, far enough for their names. */
export const LINE_PX = { min: 100, max: 250 } as const;

/** The poles are infinitely far away on this map. */
const LATITUDE_MAX = 85;

/** A box in degrees; its west and east go on across the antimeridian. */
export interface Box {
  readonly west: number;
  readonly south: number;
  readonly east: number;
  readonly north: number;
}

/** How many degrees meridians and parallels are apart: this map stretches the latter away from the equator. */
export function gridSteps(zoom: number, latitude: number): { meridian: number; parallel: number } {
  const perDegree = (512 * 2 ** zoom) / 360;
  const stretched = perDegree / Math.cos((Math.min(Math.abs(latitude), LATITUDE_MAX) * Math.PI) / 180);
  const fitting = (px: number) => STEPS.find((step) => step * px >= LINE_PX.min) ?? 60;
  return { meridian: fitting(perDegree), parallel: fitting(stretched) };
}

/** Lines through a box. */
export function gridLines({ west, south, east, north }: Box, zoom: number, latitude: number): FeatureCollection {
  const { meridian, parallel } = gridSteps(zoom, latitude);
  const [low, high] = [Math.max(south, -LATITUDE_MAX), Math.min(north, LATITUDE_MAX)];
  // Once around the world is enough: the map repeats it.
  const [left, right] = east - west >= 360 ? [-180, 180] : [west, east];
  const features = [
    ...multiples(meridian, left, right).map((at) => line([at, low], [at, high])),
    ...multiples(parallel, low, high).map((at) => line([left, at], [right, at])),
  ];
  return { type: 'FeatureCollection', features };
}

function line(from: [number, number], to: [number, number]): Feature {
  return { type: 'Feature', properties: {}, geometry: { type: 'LineString', coordinates: [from, to] } };
}

type Side = 'meridian' | 'parallel';
export type DegreeLabel = Feature<Point, { readonly label: string; readonly side: Side }>;

/** How labels are written, in pixels: the size of their letters, how far they are from their place (to the right of a
 * meridian, above a parallel), and at most how wide a letter is. Their halo needs some room around them. */
export const LABEL_PX = { text: 10, line: 12, beside: 4, above: 2, letter: 6.5, halo: 3 } as const;

/** Nothing lies on any part of a label, which is at this place on the screen. */
export function isFree(
  { properties }: DegreeLabel,
  { x, y }: { readonly x: number; readonly y: number },
  covers: readonly Cover[],
): boolean {
  const { line, beside, above, letter, halo } = LABEL_PX;
  const [left, top] = properties.side === 'meridian' ? [x + beside, y] : [x, y - above - line];
  const [right, bottom] = [left + properties.label.length * letter, top + line];
  return covers.every(
    (one) =>
      one.right <= left - halo || one.left >= right + halo || one.bottom <= top - halo || one.top >= bottom + halo,
  );
}

export function degreeLabels({ meridians, parallels }: Frame, zoom: number, atLatitude: number): DegreeLabel[] {
  const { meridian, parallel } = gridSteps(zoom, atLatitude);
  const features: DegreeLabel[] = [];
  for (const longitude of multiples(meridian, meridians.west, meridians.east)) {
    features.push(label([longitude, meridians.latitude], degrees(wrapped(longitude), meridian, 'E', 'W'), 'meridian'));
  }
  for (const latitude of multiples(parallel, parallels.south, parallels.north)) {
    features.push(label([parallels.longitude, latitude], degrees(latitude, parallel, 'N', 'S'), 'parallel'));
  }
  return features;
}

/** Digits after the point that a step has. */
function digits(step: number): number {
  return String(step).split('.')[1]?.length ?? 0;
}

function multiples(step: number, from: number, to: number): number[] {
  const first = Math.ceil(from / step - 1e-9);
  const last = Math.floor(to / step + 1e-9);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, index) =>
    Number(((first + index) * step).toFixed(digits(step))),
  );
}

/** From -180 up to 180: a view may lie across the antimeridian. */
function wrapped(longitude: number): number {
  return longitude - 360 * Math.floor((longitude + 180) / 360);
}

function degrees(value: number, step: number, positive: string, negative: string): string {
  const size = Math.abs(value).toFixed(digits(step));
  return Number(size) % 180 === 0 ? `${size}°` : `${size}° ${value < 0 ? negative : positive}`;
}

function label(coordinates: [number, number], text: string, side: Side): DegreeLabel {
  return { type: 'Feature', properties: { label: text, side }, geometry: { type: 'Point', coordinates } };
}
