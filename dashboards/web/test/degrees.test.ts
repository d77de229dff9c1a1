/** Degrees are written where they are whole, and say where one is. */

import { expect, test } from 'vitest';

import { degreeLabels } from '../src/map/degrees';

const around = (longitude: number, latitude: number, size: number) => ({
  meridians: { latitude: latitude + size, west: longitude - size, east: longitude + size },
  parallels: { longitude: longitude - size, south: latitude - size, north: latitude + size },
});

function texts(frame: Parameters<typeof degreeLabels>[0], zoom: number): string[] {
  return degreeLabels(frame, zoom).features.map((one) => String(one.properties?.['label']));
}

test('meridians are named along the top and parallels along the left, as fine as the grid is', () => {
  expect(texts(around(77.2, 28.6, 0.15), 11)).toEqual([
    '77.1° E',
    '77.2° E',
    '77.3° E',
    '28.5° N',
    '28.6° N',
    '28.7° N',
  ]);
  expect(texts(around(77.2, 28.6, 1), 7)).toEqual(['77° E', '78° E', '28° N', '29° N']);
});

test('west and south are called so, and what is neither is not', () => {
  expect(texts(around(0, 0, 1), 7)).toEqual(['1° W', '0°', '1° E', '1° S', '0°', '1° N']);
});

test('across the antimeridian, names go on from the other side', () => {
  expect(texts(around(180, -17.5, 1), 7)).toEqual(['179° E', '180°', '179° W', '18° S', '17° S']);
});

test('nothing is written outside of the room that there is', () => {
  for (const zoom of [6, 8.9, 9, 12, 16]) {
    const frame = around(13.404, 52.52, 20 / 2 ** zoom);
    for (const { geometry, properties } of degreeLabels(frame, zoom).features) {
      const [longitude = 0, latitude = 0] = geometry.type === 'Point' ? geometry.coordinates : [];
      const isMeridian = properties?.['side'] === 'meridian';
      const [at, low, high] = isMeridian
        ? [longitude, frame.meridians.west, frame.meridians.east]
        : [latitude, frame.parallels.south, frame.parallels.north];
      expect(at).toBeGreaterThanOrEqual(low - 1e-6);
      expect(at).toBeLessThanOrEqual(high + 1e-6);
    }
  }
});
