/** Which hexagons suit a zoom, and which box is asked for. Pure. */

import { getHexagonEdgeLengthAvg, UNITS } from 'h3-js';

import type { BoundingBox } from '../data/answers';
import { WORLD } from '../data/answers';
import { HEXAGON_PX_MIN } from '../limits';

/** Metres of one pixel at zoom 0 on the equator, with tiles of 512 pixels. */
const METRES_PER_PIXEL = 40_075_016.686 / 512;

/** Width of a hexagon on the screen, in pixels. */
export function hexagonPx(resolution: number, zoom: number, latitude: number): number {
  const metresPerPixel = (METRES_PER_PIXEL * Math.cos((latitude * Math.PI) / 180)) / 2 ** zoom;
  return (Math.sqrt(3) * getHexagonEdgeLengthAvg(resolution, UNITS.m)) / metresPerPixel;
}

/** The finest resolution whose hexagons are wide enough to be told apart. */
export function resolutionFor(zoom: number, latitude: number, finest: number): number {
  // Beyond this the map is stretched so far that sizes say nothing.
  const bounded = Math.max(-75, Math.min(75, latitude));
  for (let resolution = finest; resolution > 0; resolution -= 1) {
    if (hexagonPx(resolution, zoom, bounded) >= HEXAGON_PX_MIN) return resolution;
  }
  return 0;
}

/** Longitude from -180 up to 180. */
export function wrapLongitude(longitude: number): number {
  return longitude - 360 * Math.floor((longitude + 180) / 360);
}

/** A box around what is in view, on a grid that is coarse for this zoom: neighbouring views ask for the same one, so that
 * caches can answer and a small step needs no question at all. */
export function snappedBox(west: number, south: number, east: number, north: number, zoom: number): BoundingBox {
  const step = 360 / 2 ** (Math.max(0, Math.floor(zoom)) + 1);
  const down = (value: number) => Math.floor(value / step) * step;
  const up = (value: number) => Math.ceil(value / step) * step;
  const [bottom, top] = [Math.max(-90, down(south)), Math.min(90, up(north))];
  if (up(east) - down(west) >= 360) return [WORLD[0], bottom, WORLD[2], top];
  const left = wrapLongitude(down(west));
  const right = wrapLongitude(up(east));
  // An edge on the antimeridian belongs to the side that it closes.
  return [left, bottom, right === -180 ? 180 : right, top];
}

/** A box around places, with a margin in degrees: the narrower way round where they lie on both sides of the
 * antimeridian. */
export function boxAround(places: readonly (readonly [number, number])[], margin: number): BoundingBox {
  const [, first = 0] = places[0] ?? [];
  const latitudes = places.map(([latitude]) => latitude);
  const longitudes = places.map(([, longitude]) => longitude + 360 * Math.round((first - longitude) / 360));
  const [west, east] = [Math.min(...longitudes) - margin, Math.max(...longitudes) + margin];
  const [south, north] = [Math.min(...latitudes) - margin, Math.max(...latitudes) + margin];
  const [bottom, top] = [Math.max(-90, south), Math.min(90, north)];
  if (east - west >= 360) return [WORLD[0], bottom, WORLD[2], top];
  const right = wrapLongitude(east);
  return [wrapLongitude(west), bottom, right === -180 ? 180 : right, top];
}

/** Whether a place lies in a box, edges included. */
export function isWithin(box: BoundingBox, latitude: number, longitude: number): boolean {
  const [west, south, east, north] = box;
  if (latitude < south || latitude > north) return false;
  return west <= east ? longitude >= west && longitude <= east : longitude >= west || longitude <= east;
}

export function boxText(box: BoundingBox): string {
  // A millionth of a degree is a tenth of a metre.
  return box.map((edge) => String(Number(edge.toFixed(6)))).join(',');
}
