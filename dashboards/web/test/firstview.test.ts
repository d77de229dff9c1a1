/** The page opens where most happens. */

import { gridDisk, latLngToCell } from 'h3-js';
import { expect, test } from 'vitest';

import { outline } from '../src/map/geometry';
import { busiest } from '../src/map/firstview';

test('the busiest cluster is that with the most events, not the one with the most cells', () => {
  const wide = gridDisk(latLngToCell(52.5, 13.4, 3), 2);
  const busy = gridDisk(latLngToCell(-1.3, 36.8, 3), 1);
  const cells = [...wide, ...busy];
  const counts = cells.map((_, index) => (index < wide.length ? 10 : 100));
  expect(new Set(busiest({ cells, counts }))).toEqual(new Set(busy));
  expect(busiest({ cells: [], counts: [] })).toEqual([]);
});

test('an outline across the antimeridian goes on beyond it', () => {
  const longitudes = outline(latLngToCell(0, 180, 3)).map(([longitude]) => longitude);
  expect(Math.max(...longitudes) - Math.min(...longitudes)).toBeLessThan(5);
});

test('an outline around a pole is closed over it', () => {
  const corners = outline(latLngToCell(90, 0, 2));
  const longitudes = corners.map(([longitude]) => longitude);
  expect(Math.max(...longitudes) - Math.min(...longitudes)).toBeCloseTo(360);
  expect(corners.filter(([, latitude]) => latitude === 90)).toHaveLength(2);
});
