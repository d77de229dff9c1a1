/** Degrees are written where the lines of the grid are, and say where one is. */

import { expect, test } from 'vitest';

import { degreeLabels, gridLines, gridSteps, isFree, LINE_PX, type DegreeLabel } from '../src/map/degrees';

const around = (longitude: number, latitude: number, size: number) => ({
  meridians: { latitude: latitude + size, west: longitude - size, east: longitude + size },
  parallels: { longitude: longitude - size, south: latitude - size, north: latitude + size },
});

function texts(longitude: number, latitude: number, size: number, zoom: number): string[] {
  const labels = degreeLabels(around(longitude, latitude, size), zoom, latitude);
  return labels.map((one) => one.properties.label);
}

test('lines are neither crowded nor lost, at every zoom and latitude', () => {
  for (let zoom = 0.8; zoom <= 17; zoom += 0.05) {
    for (const latitude of [0, 28.6, 52.5, -70]) {
      const { meridian, parallel } = gridSteps(zoom, latitude);
      const perDegree = (512 * 2 ** zoom) / 360;
      const gaps = [meridian * perDegree, (parallel * perDegree) / Math.cos((latitude * Math.PI) / 180)];
      for (const gap of gaps) {
        expect(gap, `zoom ${zoom}, latitude ${latitude}`).toBeGreaterThanOrEqual(LINE_PX.min);
        expect(gap, `zoom ${zoom}, latitude ${latitude}`).toBeLessThanOrEqual(LINE_PX.max);
      }
    }
  }
});

test('lines go through the whole box, on whole steps', () => {
  const { features } = gridLines({ west: 77.1, south: 28.5, east: 77.3, north: 28.7 }, 11, 28.6);
  const ends = features.map(({ geometry }) => (geometry.type === 'LineString' ? geometry.coordinates : []));
  expect(ends.slice(0, 5).map(([from, to]) => [from, to])).toEqual(
    [77.1, 77.15, 77.2, 77.25, 77.3].map((at) => [
      [at, 28.5],
      [at, 28.7],
    ]),
  );
  expect(ends.slice(5).map(([from]) => from?.[1])).toEqual([28.5, 28.55, 28.6, 28.65, 28.7]);
});

test('around the world there is one of each line, and none at the poles', () => {
  const { features } = gridLines({ west: -500, south: -90, east: 500, north: 90 }, 1.4, 25);
  const ends = features.map(({ geometry }) => (geometry.type === 'LineString' ? geometry.coordinates : []));
  const longitudes = ends.filter(([from, to]) => from?.[0] === to?.[0]).map(([from]) => from?.[0]);
  expect(longitudes).toEqual([-180, -150, -120, -90, -60, -30, 0, 30, 60, 90, 120, 150, 180]);
  for (const [from] of ends) expect(Math.abs(from?.[1] ?? 0)).toBeLessThanOrEqual(85);
});

test('meridians are named along the top and parallels along the left, as fine as the grid is', () => {
  expect(texts(77.2, 28.6, 0.06, 11)).toEqual(['77.15° E', '77.20° E', '77.25° E', '28.55° N', '28.60° N', '28.65° N']);
  expect(texts(77.2, 28.6, 1, 6.5)).toEqual(['77° E', '78° E', '28° N', '29° N']);
  expect(texts(77.2, 28.6, 0.0012, 17)).toEqual([
    '77.199° E',
    '77.200° E',
    '77.201° E',
    '28.5990° N',
    '28.5995° N',
    '28.6000° N',
    '28.6005° N',
    '28.6010° N',
  ]);
});

test('west and south are called so, and what is neither is not', () => {
  expect(texts(0, 0, 1, 7)).toEqual(['1° W', '0°', '1° E', '1° S', '0°', '1° N']);
});

test('across the antimeridian, names go on from the other side', () => {
  expect(texts(180, -17.5, 1, 7)).toEqual(['179° E', '180°', '179° W', '18° S', '17° S']);
});

test('nothing is written outside of the room that there is', () => {
  for (const zoom of [6, 8.9, 9, 12, 16]) {
    const frame = around(13.404, 52.52, 20 / 2 ** zoom);
    for (const { geometry, properties } of degreeLabels(frame, zoom, 52.52)) {
      const [longitude = 0, latitude = 0] = geometry.coordinates;
      const isMeridian = properties.side === 'meridian';
      const [at, low, high] = isMeridian
        ? [longitude, frame.meridians.west, frame.meridians.east]
        : [latitude, frame.parallels.south, frame.parallels.north];
      expect(at).toBeGreaterThanOrEqual(low - 1e-6);
      expect(at).toBeLessThanOrEqual(high + 1e-6);
    }
  }
});

test('what lies on any part of a name takes it away, and what lies beside it does not', () => {
  const name = (side: 'meridian' | 'parallel'): DegreeLabel => ({
    type: 'Feature',
    properties: { label: '77.15° E', side },
    geometry: { type: 'Point', coordinates: [0, 0] },
  });
  const cover = { left: 100, top: 16, right: 300, bottom: 200 };
  const isSeen = (side: 'meridian' | 'parallel', x: number, y: number) => isFree(name(side), { x, y }, [cover]);
  expect(isSeen('meridian', 20, 6)).toBe(true);
  expect(isSeen('meridian', 60, 6)).toBe(false);
  expect(isSeen('meridian', 200, 6)).toBe(false);
  expect(isSeen('meridian', 304, 6)).toBe(true);
  expect(isSeen('parallel', 120, 12)).toBe(true);
  expect(isSeen('parallel', 120, 100)).toBe(false);
  expect(isSeen('parallel', 120, 205)).toBe(false);
  expect(isSeen('parallel', 120, 220)).toBe(true);
  expect(isFree(name('parallel'), { x: 120, y: 100 }, [])).toBe(true);
});
