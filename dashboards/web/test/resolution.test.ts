/** Hexagons are neither dust nor continents, and neighbouring views ask for the same box. */

import { expect, test } from 'vitest';

import { boxAround, hexagonPx, isWithin, resolutionFor, snappedBox, wrapLongitude } from '../src/map/resolution';

test('a hexagon is 15 to 42 pixels wide wherever the store has a resolution for it', () => {
  for (const latitude of [0, 30, 52, -70]) {
    for (let zoom = 3; zoom <= 12; zoom += 0.25) {
      const resolution = resolutionFor(zoom, latitude, 15);
      const width = hexagonPx(resolution, zoom, latitude);
      expect(width, `zoom ${zoom}, latitude ${latitude}`).toBeGreaterThanOrEqual(15);
      expect(width, `zoom ${zoom}, latitude ${latitude}`).toBeLessThan(42);
    }
  }
});

test('resolutions grow with the zoom and stop at the finest stored one', () => {
  let before = 0;
  for (let zoom = 0; zoom <= 18; zoom += 0.5) {
    const resolution = resolutionFor(zoom, 50, 9);
    expect(resolution).toBeGreaterThanOrEqual(before);
    before = resolution;
  }
  expect(before).toBe(9);
});

test('a box holds the view, and a small step asks for the same one', () => {
  const box = snappedBox(13.21, 52.41, 13.62, 52.61, 10.3);
  expect(isWithin(box, 52.41, 13.21) && isWithin(box, 52.61, 13.62)).toBe(true);
  expect(snappedBox(13.22, 52.42, 13.63, 52.62, 10.4)).toEqual(box);
  expect(snappedBox(14.21, 52.41, 14.62, 52.61, 10.3)).not.toEqual(box);
});

test('a box across the antimeridian has its west east of its east', () => {
  const [west, , east] = snappedBox(178, -20, 183, -15, 6);
  expect(west).toBeGreaterThan(east);
  expect(isWithin(snappedBox(178, -20, 183, -15, 6), -18, -179)).toBe(true);
  expect(isWithin(snappedBox(178, -20, 183, -15, 6), -18, 0)).toBe(false);
});

test('a view of more than the world is the world', () => {
  const [west, south, east, north] = snappedBox(-300, -100, 260, 100, 0.8);
  expect([west, south, east, north]).toEqual([-180, -90, 180, 90]);
});

test('an edge on the antimeridian stays an edge', () => {
  const [west, , east] = snappedBox(90.5, 0, 179.9, 10, 1);
  expect(west).toBeLessThan(east);
  expect([wrapLongitude(180), wrapLongitude(-181), wrapLongitude(540)]).toEqual([-180, 179, -180]);
});

test('a box around places goes the narrower way around the world', () => {
  expect(
    boxAround(
      [
        [1, 179],
        [2, -179],
      ],
      1,
    ),
  ).toEqual([178, 0, -178, 3]);
  expect(
    boxAround(
      [
        [-89.5, 10],
        [0, 20],
      ],
      1,
    ),
  ).toEqual([9, -90, 21, 1]);
  expect(boxAround([[0, 178.5]], 1.5)).toEqual([177, -1.5, 180, 1.5]);
  expect(
    boxAround(
      [
        [0, -179],
        [0, 0],
        [0, 179.5],
      ],
      1,
    ),
  ).toEqual([178.5, -1, 1, 1]);
  expect(
    boxAround(
      [0, 90, 180, 270].map((longitude) => [0, longitude - 180] as const),
      50,
    ),
  ).toEqual([-180, -50, 180, 50]);
});
