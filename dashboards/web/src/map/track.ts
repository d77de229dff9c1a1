/** The path of a device: where it went, how far, and when it was where. Pure. */

import { greatCircleDistance, UNITS } from 'h3-js';

import type { TrackAnswer } from '../data/answers';
import { TRACK_MARKS_MAX, TRACK_STILL_METRES } from '../limits';
import { DAY, HOUR, MINUTE } from '../state/time';

type Points = TrackAnswer['points'];

/** Steps between marks that people read easily, in seconds. */
const STEPS = [
  MINUTE,
  2 * MINUTE,
  5 * MINUTE,
  10 * MINUTE,
  15 * MINUTE,
  30 * MINUTE,
  HOUR,
  2 * HOUR,
  3 * HOUR,
  6 * HOUR,
  12 * HOUR,
  DAY,
  7 * DAY,
  30 * DAY,
];

/** A moment on the path, or how long it stood still there. */
export interface Mark {
  readonly ms: number;
  /** Up to when, where that is more than a step. */
  readonly untilMs?: number;
  readonly lat: number;
  readonly lon: number;
}

/** Longitudes and latitudes. Where a path crosses the antimeridian it goes on beyond it. */
export function lineOf(points: Points): [number, number][] {
  let before: number | undefined;
  return points.map(({ lon, lat }) => {
    const turns: number = before === undefined ? 0 : Math.round((before - lon) / 360);
    before = lon + 360 * turns;
    return [before, lat];
  });
}

/** Along great circles. */
export function lengthMetres(points: Points): number {
  let metres = 0;
  for (let index = 1; index < points.length; index += 1) {
    const [from, to] = [points[index - 1], points[index]];
    if (from && to) metres += greatCircleDistance([from.lat, from.lon], [to.lat, to.lon], UNITS.m);
  }
  return metres;
}

/** Where it was at even times of the clock on the wall: the first position at or after each, and one mark for all of
 * them while it stands still. `offsetMs` is how far that clock is ahead of UTC. */
export function marksOf(points: Points, offsetMs: number): Mark[] {
  const [first, last] = [points[0], points.at(-1)];
  if (!first || !last) return [];
  const spanMs = Date.parse(last.ts) - Date.parse(first.ts);
  const step = STEPS.find((seconds) => spanMs / (seconds * 1_000) <= TRACK_MARKS_MAX);
  if (step === undefined || spanMs === 0) return [];
  const stepMs = step * 1_000;
  const marks: Mark[] = [];
  let slot = Math.floor((Date.parse(first.ts) + offsetMs) / stepMs);
  let isStill = false;
  for (const { ts, lat, lon } of points) {
    const ms = Date.parse(ts);
    const here = Math.floor((ms + offsetMs) / stepMs);
    const mark = marks.at(-1);
    isStill &&= mark !== undefined && isNear(mark, lat, lon);
    // As long as it has not left, also when the next even time has not come yet.
    if (mark && isStill && (here !== slot || mark.untilMs !== undefined))
      marks[marks.length - 1] = { ...mark, untilMs: ms };
    else if (here !== slot) {
      marks.push({ ms, lat, lon });
      isStill = true;
    }
    slot = here;
  }
  return marks;
}

function isNear(mark: Mark, lat: number, lon: number): boolean {
  return greatCircleDistance([mark.lat, mark.lon], [lat, lon], UNITS.m) <= TRACK_STILL_METRES;
}
