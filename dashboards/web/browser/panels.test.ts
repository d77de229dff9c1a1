/** Panels share the map with what is on it, and close in the order in which they were opened. */

import { cellToLatLng, latLngToCell } from 'h3-js';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { barriers, colours, open, until, visit } from './browser';
import { Program } from './program';

const CELL = latLngToCell(48.137, 11.575, 8);
const [LATITUDE, LONGITUDE] = cellToLatLng(CELL);
const VIEW = `metric=v&tenant=acme&time=3600s&period=60&at=${LATITUDE.toFixed(5)},${LONGITUDE.toFixed(5)},10.50`;
/** Letters are darker than this, and lines of the grid lighter, in the light theme. */
const LETTERS_RED_MAX = 150;

let program: Program;
let browser: Browser;
let site: string;

beforeAll(async () => {
  [program, browser] = await Promise.all([Program.start(), open()]);
  site = program.endpoints.http;
  const payload = JSON.stringify({ ts: Date.now(), lat: LATITUDE, lon: LONGITUDE, metrics: { v: 1 } });
  await program.publish([{ topic: 'telemetry/acme/bus-01', payload }]);
  await until(
    'the device',
    () => program.number("SELECT count() FROM devices WHERE tenant = 'acme'"),
    (count) => count === 1,
  );
});

afterAll(async () => {
  await browser?.close();
  await program?.stop();
});

interface Box {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

async function boxOf(page: Page, selector: string): Promise<Box> {
  const box = await page.locator(selector).first().boundingBox();
  if (!box) throw new Error(`\`${selector}\` is not seen`);
  return { left: box.x, top: box.y, right: box.x + box.width, bottom: box.y + box.height };
}

/** How many pixels of letters the map has somewhere, also behind what lies on it. */
async function lettersIn(page: Page, { left, top, right, bottom }: Box): Promise<number> {
  const show = (visibility: string) =>
    page.evaluate((value) => {
      for (const one of document.querySelectorAll<HTMLElement>('.panel, .legend')) one.style.visibility = value;
    }, visibility);
  const places: [number, number][] = [];
  for (let y = Math.ceil(top); y < Math.floor(bottom); y += 1) {
    for (let x = Math.ceil(left); x < Math.floor(right); x += 1) places.push([x, y]);
  }
  await show('hidden');
  const seen = await colours(page, places);
  await show('');
  return seen.filter((colour) => Number(colour.split(',')[0]) < LETTERS_RED_MAX).length;
}

test('degrees are not written where a panel or the legend would cut them, and come back when it closes', async () => {
  const { page, faults } = await visit(browser, `${site}/?${VIEW}`, { colorScheme: 'light' });
  await page.locator('.legend-foot', { hasText: /^1 / }).waitFor();
  const map = await boxOf(page, '.map');
  /** What is along the top of the map, or along its left, where a panel is or will be. */
  const edges = {
    '?': { left: map.right - 384, top: map.top, right: map.right - 16, bottom: map.top + 24 },
    t: { left: map.left, top: map.top + 24, right: map.left + 80, bottom: map.bottom - 150 },
  };
  const written = (edge: Box, isWritten: boolean) =>
    until(
      isWritten ? 'degrees' : 'no degrees',
      () => lettersIn(page, edge),
      (count) => count > 0 === isWritten,
    );
  // One row of a table would not reach them all.
  const tall = () =>
    page.evaluate(() => {
      const table = document.querySelector<HTMLElement>('.table');
      if (table) table.style.height = '100%';
    });
  for (const key of ['?', 't'] as const) {
    await written(edges[key], true);
    expect(await lettersIn(page, await boxOf(page, '.legend'))).toBe(0);
    await page.keyboard.press(key);
    await page.locator('.panel').waitFor();
    await tall();
    await written(edges[key], false);
    await page.keyboard.press(key);
    await page.locator('.panel').waitFor({ state: 'detached' });
    await written(edges[key], true);
  }
  expect(faults).toEqual([]);
  await page.context().close();
});

test('Escape closes what was opened last', async () => {
  const { page, faults } = await visit(browser, `${site}/?${VIEW}&device=acme/bus-01`);
  await page.locator('.drawer').waitFor();
  const count = (selector: string) => page.locator(selector).count();
  const open = async () => Promise.all(['.drawer', '.table', '.help', '.freshness-card'].map(count));
  await page.keyboard.press('t');
  await page.locator('.table').waitFor();
  await page.keyboard.press('?');
  await page.locator('.help').waitFor();
  await page.locator('.freshness').click();
  expect(await open()).toEqual([1, 1, 1, 1]);
  for (const left of [
    [1, 1, 1, 0],
    [1, 1, 0, 0],
    [1, 0, 0, 0],
    [0, 0, 0, 0],
  ]) {
    await page.keyboard.press('Escape');
    await until('one less', open, (seen) => JSON.stringify(seen) === JSON.stringify(left));
  }
  // The other way round as well.
  await page.keyboard.press('t');
  // The table takes the focus with the next picture, which can take its time: nothing is typed before.
  await until(
    'focus on the first row',
    () => page.evaluate(() => document.activeElement?.matches('.table tbody tr') ?? false),
    (is) => is,
  );
  await page.keyboard.press('Enter');
  await page.locator('.drawer').waitFor();
  await page.keyboard.press('Escape');
  await until('one less', open, (seen) => JSON.stringify(seen) === '[0,1,0,0]');
  // What search has found closes alone.
  await page.keyboard.press('/');
  await page.keyboard.type('bus');
  await page.locator('#suggestions [role=option]').first().waitFor();
  await page.keyboard.press('Escape');
  await page.locator('#suggestions').waitFor({ state: 'hidden' });
  expect(await open()).toEqual([0, 1, 0, 0]);
  await page.keyboard.press('Escape');
  await until('none', open, (seen) => JSON.stringify(seen) === '[0,0,0,0]');
  expect(faults).toEqual([]);
  await page.context().close();
});

test.each([
  ['a device', '&device=acme/bus-01', '.drawer'],
  ['the table', '&table=1', '.table'],
])('on a phone, the legend keeps range and finality beside %s', async (_, query, panel) => {
  const time = `time=2026-11-01T10:00:00Z~${new Date(Date.now() + 60_000).toISOString().slice(0, 19)}Z&period=3600`;
  for (const view of [VIEW, VIEW.replace('time=3600s&period=60', time)]) {
    const { page, faults } = await visit(browser, `${site}/?${view}${query}`, {
      viewport: { width: 390, height: 844 },
    });
    await page.locator('.ramp').waitFor();
    const range = page.locator('.finality > span').first();
    expect(await range.innerText()).toMatch(/\d – .*\d UTC/);
    expect(await range.evaluate((one) => one.scrollWidth <= one.clientWidth), 'nothing of it is cut').toBe(true);
    expect(await page.locator('.finality .pill').innerText()).toBe('not final');
    const [legend, pill, sheet] = [
      await boxOf(page, '.legend'),
      await boxOf(page, '.finality .pill'),
      await boxOf(page, panel),
    ];
    expect(legend.bottom - legend.top).toBeLessThan(56);
    expect(pill.bottom).toBeLessThan(legend.bottom);
    expect(pill.right).toBeLessThan(legend.right);
    expect(legend.bottom).toBeLessThan(sheet.top - 200);
    expect(await barriers(page)).toEqual([]);
    expect(faults).toEqual([]);
    await page.context().close();
  }
});

test('names and ranges are read in full where there is room, and search keeps its least', async () => {
  const tenant = 'northern-logistics-berlin';
  const { page, faults } = await visit(browser, `${site}/?metric=v&tenant=${tenant}&time=3600s`);
  for (const of of ['Metric', 'Time', 'Tenant']) {
    const select = page.getByLabel(of, { exact: true });
    await select.waitFor();
    const isCut = await select.evaluate((one) => {
      const box = one.getBoundingClientRect().width;
      Object.assign((one as HTMLElement).style, { position: 'absolute', width: 'max-content', maxWidth: 'none' });
      const whole = one.getBoundingClientRect().width;
      Object.assign((one as HTMLElement).style, { position: '', width: '', maxWidth: '' });
      return whole > box + 0.5;
    });
    expect(isCut, of).toBe(false);
  }
  const search = await boxOf(page, '.search');
  expect(search.right - search.left).toBeGreaterThanOrEqual(200);
  expect(faults).toEqual([]);
  await page.context().close();
});
