/** A path says where a device went, how far, and when it was where. */

import { expect, test } from 'vitest';

import { lengthMetres, lineOf, marksOf } from '../src/map/track';

const at = (iso: string, lat: number, lon: number) => ({ ts: iso, lat, lon });

test('a path across the antimeridian goes on beyond it, and is as long as it looks', () => {
  const points = [at('2026-01-01T00:00:00Z', 0, 179.5), at('2026-01-01T00:10:00Z', 0, -179.5)];
  expect(lineOf(points)).toEqual([
    [179.5, 0],
    [180.5, 0],
  ]);
  // A degree of the equator.
  expect(lengthMetres(points)).toBeCloseTo(111_195, -2);
});

test('times along a path are those of the clock on the wall, and few', () => {
  const points = Array.from({ length: 60 }, (_, index) =>
    at(new Date(Date.UTC(2026, 0, 1, 8, 3, 7) + index * 60_000).toISOString(), 0, index),
  );
  const marks = marksOf(points, 0);
  expect(marks.map(({ ms }) => new Date(ms).toISOString().slice(11, 16))).toEqual([
    '08:10',
    '08:20',
    '08:30',
    '08:40',
    '08:50',
    '09:00',
  ]);
  expect(marks[0]?.lon).toBe(7);
  // Half an hour ahead of UTC: hours begin at other moments.
  const shifted = marksOf(
    points.filter((_, index) => index % 2 === 0),
    30 * 60_000,
  );
  expect(shifted.every(({ ms }) => (new Date(ms).getUTCMinutes() + 30) % 10 < 2)).toBe(true);
});

test('who stood still for no time has no marks', () => {
  expect(marksOf([], 0)).toEqual([]);
  expect(marksOf([at('2026-01-01T00:00:00Z', 1, 1)], 0)).toEqual([]);
  expect(lengthMetres([at('2026-01-01T00:00:00Z', 1, 1)])).toBe(0);
});

test('who stands still has one mark with the time it stood there, and another after it has gone on and come back', () => {
  const start = Date.UTC(2026, 0, 1, 9, 0);
  // It stands from 09:10 to 09:40, wanders by a few metres meanwhile, goes a kilometre away, and comes back.
  const places = [...Array(10).keys()].map((index) => 0.1 - index * 0.01);
  const stays = Array.from({ length: 31 }, (_, index) => (index % 2) * 0.0001);
  const points = [...places, ...stays, 0.01, 0.02, 0.01, ...Array<number>(17).fill(0)].map((lat, index) =>
    at(new Date(start + index * 60_000).toISOString(), lat, 0),
  );
  const clock = (ms: number | undefined) => ms && new Date(ms).toISOString().slice(11, 16);
  const marks = marksOf(points, 0).map(({ ms, untilMs }) => [clock(ms), clock(untilMs)]);
  expect(marks).toEqual([
    ['09:10', '09:40'],
    ['09:50', '10:00'],
  ]);
});
