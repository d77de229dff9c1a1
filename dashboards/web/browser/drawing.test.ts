/** Nothing of the map stays undrawn, whatever lies on its edges and however the browser draws. */

import { cellToLatLng, latLngToCell } from 'h3-js';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { colours, open, until, visit, type Drawing } from './browser';
import { Program } from './program';

/** Far from every coast, so that water is seen only where nothing is drawn. */
const CELL = latLngToCell(48.137, 11.575, 8);
const ZOOM = 10.5;
const SIZE = { width: 1280, height: 800 };

let program: Program;

beforeAll(async () => {
  program = await Program.start();
  const [lat, lon] = cellToLatLng(CELL);
  const payload = JSON.stringify({ ts: Date.now(), lat, lon, metrics: { v: 1 } });
  await program.publish([{ topic: 'telemetry/acme/bus-01', payload }]);
});

afterAll(() => program?.stop());

interface Edges {
  /** Where the bar ends and the series begins. */
  top: number;
  bottom: number;
}

/** The canvas ends exactly where the map does, in all of its pixels. */
async function edges(page: Page): Promise<Edges> {
  return until(
    'a canvas as large as the map',
    () =>
      page.evaluate(() => {
        const box = (selector: string) => (document.querySelector(selector) as HTMLElement).getBoundingClientRect();
        const canvas = document.querySelector('.maplibregl-canvas') as HTMLCanvasElement;
        const { x, y, width, height } = box('.maplibregl-canvas');
        return {
          top: box('.bar').bottom,
          bottom: box('.series').top,
          at: [x, y, width, height, canvas.width, canvas.height],
        };
      }),
    ({ top, bottom, at }) => {
      const [width, height] = [page.viewportSize()?.width, bottom - top];
      return JSON.stringify(at) === JSON.stringify([0, top, width, height, width, height]);
    },
  );
}

/** Down a line where nothing lies on the map. */
async function isDrawn(page: Page, water: string): Promise<void> {
  const { top, bottom } = await edges(page);
  const x = Math.round((page.viewportSize()?.width ?? 0) * 0.62);
  const places = Array.from({ length: bottom - top }, (_, index) => [x, top + index] as const);
  await until(
    'a map without a gap',
    () => colours(page, places),
    (seen) => !seen.includes(water),
  );
}

/** A camera that has the hexagon right under the bar. */
function camera(mapHeight: number): string {
  const [latitude, longitude] = cellToLatLng(CELL);
  const world = 512 * 2 ** ZOOM;
  const radians = (latitude * Math.PI) / 180;
  const y = 0.5 - Math.log(Math.tan(Math.PI / 4 + radians / 2)) / (2 * Math.PI) + (mapHeight / 2 - 8) / world;
  const middle = ((2 * Math.atan(Math.exp((0.5 - y) * 2 * Math.PI)) - Math.PI / 2) * 180) / Math.PI;
  return `${middle.toFixed(5)},${longitude.toFixed(5)},${ZOOM}`;
}

test.each<Drawing>(['graphics', 'processor'])('the map is drawn up to its edges, by the %s', async (drawing) => {
  const browser = await open(drawing);
  try {
    const view = (at: string) => `${program.endpoints.http}/?metric=v&tenant=acme&time=3600s&period=60&at=${at}`;
    const { page, faults } = await visit(browser, view(camera(SIZE.height - 264)), { viewport: SIZE });
    await until(
      'the hexagon',
      () => page.locator('.legend-foot').innerText(),
      (seen) => seen.startsWith('1 '),
    );
    const token = (name: string) =>
      page.evaluate((of) => {
        const style = getComputedStyle(document.documentElement).getPropertyValue(of).trim();
        return [1, 3, 5].map((start) => Number.parseInt(style.slice(start, start + 2), 16)).join(',');
      }, name);
    const [water, land] = [await token('--map-water'), await token('--map-land')];
    const { top } = await edges(page);
    await until(
      'the hexagon under the bar',
      () => colours(page, [[SIZE.width / 2, top + 1]]),
      ([seen]) => seen !== land && seen !== water,
    );
    await isDrawn(page, water);
    for (const key of ['s', 's', 't', 's']) {
      await page.keyboard.press(key);
      await isDrawn(page, water);
    }
    for (const size of [
      { width: 1000, height: 620 },
      { width: 1440, height: 900 },
    ]) {
      await page.setViewportSize(size);
      await isDrawn(page, water);
    }
    expect(faults).toEqual([]);
  } finally {
    await browser.close();
  }
});
