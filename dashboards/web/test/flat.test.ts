/** No edge of land runs around the world. */

import { readFileSync } from 'node:fs';
import type { Feature, FeatureCollection, MultiPolygon } from 'geojson';
import { feature } from 'topojson-client';
import type { GeometryCollection, Topology } from 'topojson-specification';
import { expect, test } from 'vitest';

import { flatLand, flatRing, unwrap } from '../src/map/flat';

test('a line across the antimeridian goes on beyond it', () => {
  expect(
    unwrap([
      [170, 0],
      [-170, 1],
      [160, 2],
    ]),
  ).toEqual([
    [170, 0],
    [190, 1],
    [160, 2],
  ]);
});

test('a ring around a pole is closed over it', () => {
  const ring = flatRing([
    [0, -70],
    [120, -70],
    [-120, -70],
    [0, -70],
  ]);
  expect(ring).toEqual([
    [0, -70],
    [120, -70],
    [240, -70],
    [360, -70],
    [360, -90],
    [0, -90],
    [0, -70],
  ]);
});

test.each(['land-110m', 'countries-50m'])('%s can be filled on a plane', (name) => {
  type Atlas = Topology<{ land: GeometryCollection }>;
  const atlas = JSON.parse(readFileSync(`node_modules/world-atlas/${name}.json`, 'utf8')) as Atlas;
  const land: Feature | FeatureCollection = feature(atlas, atlas.objects.land);
  const rings = flatLand(land).features.flatMap((one) => (one.geometry as MultiPolygon).coordinates.flat());
  expect(rings.length).toBeGreaterThan(100);
  const overPole = (latitude = 0) => Math.abs(latitude) === 90;
  for (const ring of rings) {
    ring.forEach(([longitude = 0, latitude], index) => {
      const [next = longitude, nextLatitude] = ring[index + 1] ?? [];
      const isJump = Math.abs(next - longitude) > 180 && !(overPole(latitude) && overPole(nextLatitude));
      expect(isJump, `${name}: ${longitude} to ${next}`).toBe(false);
    });
    expect(ring.at(-1)).toEqual(ring[0]);
  }
});
