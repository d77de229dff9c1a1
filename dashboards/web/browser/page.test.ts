/** What a person sees in a browser is what devices published. */

import { cellToLatLng, latLngToCell } from 'h3-js';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { number, numberInColumn } from '../src/format';
import type { CellsAnswer } from '../src/data/answers';
import { awayFromTheHour, barriers, open, until, visit } from './browser';
import { Program } from './program';

/** Where the devices of the tests are. */
const HERE = [48.137, 11.575] as const;
const CELL = latLngToCell(...HERE, 8);
const CENTRE = cellToLatLng(CELL);
/** A view with that hexagon in its middle, of the last hour in minutes: those are stored within a second. */
const VIEW = `metric=v&tenant=acme&time=3600s&period=60&at=${CENTRE[0].toFixed(5)},${CENTRE[1].toFixed(5)},10.50`;
const EVIL = '<script>alert(1)</script><img src=x onerror=alert(2)>';

let program: Program;
let browser: Browser;
let site: string;
let published = 0;

function message(device: string, value: number, place: readonly [number, number] = HERE, more = {}) {
  published += 1;
  const payload = { ts: Date.now(), seq: published, lat: place[0], lon: place[1], metrics: { v: value }, ...more };
  return { topic: `telemetry/acme/${device}`, payload: JSON.stringify(payload) };
}

beforeAll(async () => {
  await awayFromTheHour();
  [program, browser] = await Promise.all([Program.start(), open()]);
  site = program.endpoints.http;
  const around = Array.from({ length: 40 }, (_, index) => {
    const place = [HERE[0] + 0.02 * Math.sin(index), HERE[1] + 0.03 * Math.cos(index)] as const;
    return message(`bus-${String(index).padStart(2, '0')}`, index / 4, place);
  });
  await program.publish([...around, message('evil', 1, HERE, { note: EVIL }), message('bus-00', 12.5)]);
  const stored = "SELECT count() FROM measurements WHERE tenant = 'acme'";
  await until(
    'measurements',
    () => program.number(stored),
    (count) => count === published,
  );
  const devices = "SELECT count() FROM devices WHERE tenant = 'acme'";
  await until(
    'devices',
    () => program.number(devices),
    (count) => count === 41,
  );
});

afterAll(async () => {
  await browser?.close();
  await program?.stop();
});

const text = (page: Page, selector: string) => page.locator(selector).first().innerText();

async function resolution(page: Page): Promise<number> {
  return Number(/resolution (\d+)/.exec(await text(page, '.legend-foot'))?.[1] ?? -1);
}

/** Presses a key until the map has gone far enough: a step is taken when the one before has been. */
async function step(page: Page, key: string, isThere: (resolution: number) => boolean): Promise<void> {
  for (let presses = 0; presses < 8 && !isThere(await resolution(page)); presses += 1) {
    await page.keyboard.press(key);
    await page.waitForTimeout(1_500);
  }
  await until(`another resolution by ${key}`, () => resolution(page), isThere);
}

async function hasHexagons(page: Page): Promise<void> {
  await until(
    'hexagons',
    () => text(page, '.legend-foot'),
    (seen) => /^[1-9]/.test(seen),
  );
}

/** The same where the legend has no room for a number of hexagons: the map has been told of some. */
async function hasHexagonsIn(page: Page): Promise<void> {
  await until(
    'colours',
    () => page.locator('.ramp').count(),
    (seen) => seen === 1,
  );
}

/** The value that the API has for the hexagon now. */
async function answered(): Promise<number> {
  const minute = 60_000;
  const to = Math.ceil(Date.now() / minute) * minute;
  const box = '11.4,48.0,11.8,48.3';
  const address = `${site}/api/v1/cells?tenant=acme&metric=v&res=8&period=60&bbox=${box}&from=${to - 61 * minute}&to=${to}`;
  const answer = (await (await fetch(address)).json()) as CellsAnswer;
  return answer.values[answer.cells.indexOf(CELL)] ?? Number.NaN;
}

/** The same, from what devices published, with nothing of ours in between. */
function measured(): Promise<number> {
  return program.number(
    `SELECT avg(value) FROM measurements WHERE tenant = 'acme' AND metric = 'v' ` +
      `AND geoToH3(lat, lon, 8) = reinterpretAsUInt64(reverse(unhex('0${CELL}'))) ` +
      `SETTINGS geotoh3_argument_order = 'lat_lon'`,
  );
}

test('the page opens where data is, without an error and without asking anybody else', async () => {
  const { page, faults, asked } = await visit(browser, site);
  await hasHexagons(page);
  await until(
    'the address',
    async () => page.url(),
    (url) => url.includes('at=48.1'),
  );
  await page.locator('.chart-box canvas').waitFor();
  expect(asked.filter((address) => !address.startsWith(`${site}/`) && !address.startsWith('blob:'))).toEqual([]);
  const policy = (await page.request.get(site)).headers()['content-security-policy'] ?? '';
  expect(policy).toContain("default-src 'none'");
  expect(policy).not.toContain('unsafe');
  expect(faults).toEqual([]);
  await page.context().close();
});

test('zooming changes the resolution, and panning asks for what comes into view', async () => {
  const { page, asked, faults } = await visit(browser, `${site}/?${VIEW}`);
  await hasHexagons(page);
  expect(await resolution(page)).toBe(8);
  await page.keyboard.press('m');
  await step(page, '-', (seen) => seen < 8);
  await step(page, '=', (seen) => seen === 9);
  const boxes = () =>
    new Set(asked.filter((one) => one.includes('/cells')).map((one) => new URL(one).searchParams.get('bbox')));
  const before = boxes().size;
  for (let step = 0; step < 5; step += 1) await page.keyboard.press('ArrowRight');
  await until(
    'another box',
    async () => boxes().size,
    (size) => size > before,
  );
  expect(faults).toEqual([]);
  await page.context().close();
});

test('the number of a hexagon is that of the API, and that of ClickHouse', async () => {
  const { page, faults } = await visit(browser, `${site}/?${VIEW}&cell=${CELL}`);
  await hasHexagons(page);
  const expected = await measured();
  expect(await answered()).toBeCloseTo(expected, 9);
  const shown = await until(
    'the drawer',
    () => text(page, '[data-testid=cell-value]'),
    (seen) => seen.trim() !== '–',
  );
  expect(shown.trim()).toBe(number(expected));
  // The same on the map itself, in the middle of which it lies.
  const map = (await page.locator('.map').boundingBox()) ?? { x: 0, y: 0, width: 0, height: 0 };
  const middle = [map.x + map.width / 2, map.y + map.height / 2] as const;
  await page.mouse.move(...middle);
  await page.mouse.move(middle[0] + 1, middle[1] + 1);
  expect((await text(page, '.tooltip strong')).trim()).toBe(number(expected));
  await page.keyboard.press('t');
  const row = page.locator(`tr[data-cell="${CELL}"] td.right`).first();
  expect((await row.innerText()).trim()).toBe(numberInColumn(expected));
  expect(faults).toEqual([]);
  await page.context().close();
});

test('a new event changes its hexagon without a reload', async () => {
  const { page, faults } = await visit(browser, `${site}/?${VIEW}&cell=${CELL}`);
  await hasHexagons(page);
  const before = await until(
    'the drawer',
    () => text(page, '[data-testid=cell-value]'),
    (seen) => seen.trim() !== '–',
  );
  await page.evaluate(() => Object.assign(window, { isTheSamePage: true }));
  await program.publish([message('bus-99', 1_000)]);
  const after = await until(
    'a new value',
    () => text(page, '[data-testid=cell-value]'),
    (seen) => seen !== before,
  );
  expect(after.trim()).toBe(number(await measured()));
  expect(await page.evaluate(() => 'isTheSamePage' in window)).toBe(true);
  // A live view as well, which streams where the server does.
  const live = VIEW.replace('time=3600s&period=60', 'period=86400');
  await page.goto(`${site}/?${live}&cell=${CELL}`);
  await until(
    'the live value',
    () => text(page, '[data-testid=cell-value]'),
    (seen) => seen.trim() !== '–',
  );
  await program.publish([message('bus-99', 2_000)]);
  const expected = number(await until('stored', measured, (seen) => seen > 40));
  await until(
    'the live value',
    () => text(page, '[data-testid=cell-value]'),
    (seen) => seen.trim() === expected,
    60_000,
  );
  expect(faults).toEqual([]);
  await page.context().close();
});

test('everything can be done with the keyboard alone', async () => {
  const { page, faults } = await visit(browser, `${site}/?${VIEW}`);
  await hasHexagons(page);
  // Find a device by a part of its name.
  await page.keyboard.press('/');
  await page.keyboard.type('US-0');
  await page.locator('#suggestions [role=option]').nth(3).waitFor();
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Enter');
  await page.locator('.drawer h2', { hasText: 'bus-01' }).waitFor();
  await until(
    'its values',
    () => text(page, '.drawer'),
    (seen) => seen.includes('0.25'),
  );
  // The next key is for the page, and the frame that says so is no alarm.
  const frame = await page.evaluate(() => {
    const { outlineColor, outlineStyle } = getComputedStyle(document.activeElement as HTMLElement);
    const probe = document.body.appendChild(document.createElement('i'));
    probe.style.color = 'var(--accent)';
    return { outlineStyle, isAlarm: outlineColor === getComputedStyle(probe).color };
  });
  expect(frame).toEqual({ outlineStyle: 'solid', isAlarm: false });
  await page.keyboard.press('a');
  await page.locator('.attention').waitFor();
  await page.keyboard.press('a');
  await page.locator('.attention').waitFor({ state: 'detached' });
  await page.keyboard.press('Escape');
  await page.locator('.drawer').waitFor({ state: 'detached' });
  // Choose a hexagon in the table: the map follows.
  await page.keyboard.press('t');
  const row = page.locator('.table tbody tr').first();
  await row.waitFor();
  for (let step = 0; step < 60 && !(await row.evaluate((one) => one === document.activeElement)); step += 1) {
    await page.keyboard.press('Tab');
  }
  await page.keyboard.press('ArrowDown');
  const cell = await page.evaluate(() => (document.activeElement as HTMLElement).dataset['cell'] ?? '');
  await page.keyboard.press('Enter');
  await until(
    'the address',
    async () => page.url(),
    (url) => url.includes(`cell=${cell}`),
  );
  const [latitude, longitude] = cellToLatLng(cell);
  const at = `at=${latitude.toFixed(5)},${longitude.toFixed(5)}`.slice(0, 11);
  await until(
    'the map to move',
    async () => page.url(),
    (url) => url.includes(at),
  );
  // The rest of the keys.
  await page.keyboard.press('?');
  await page.locator('.help').waitFor();
  await page.keyboard.press('Escape');
  await page.locator('.help').waitFor({ state: 'detached' });
  await page.keyboard.press('p');
  await until(
    'the pause',
    () => text(page, '.freshness'),
    (seen) => seen.includes('Paused'),
  );
  await page.keyboard.press('p');
  await page.keyboard.press('s');
  await until(
    'the address',
    async () => page.url(),
    (url) => url.includes('series=0'),
  );
  await page.keyboard.press('d');
  expect(await page.evaluate(() => document.documentElement.dataset['theme'])).toBe('dark');
  expect(faults).toEqual([]);
  await page.context().close();
});

test.each([
  ['wide and light', { colorScheme: 'light' as const }, `${VIEW}&table=1&cell=${CELL}`, '?'],
  ['wide and dark', { colorScheme: 'dark' as const }, `${VIEW}&table=1&device=acme/bus-01`, '?'],
  ['a phone', { colorScheme: 'light' as const, viewport: { width: 390, height: 844 }, hasTouch: true }, VIEW, 'm'],
  [
    'a dark phone',
    { colorScheme: 'dark' as const, viewport: { width: 390, height: 844 } },
    `${VIEW}&cell=${CELL}`,
    'm',
  ],
  ['what needs a look', { colorScheme: 'light' as const }, `${VIEW}&device=acme/bus-01`, 'a'],
  [
    'twice the size, and no motion',
    { viewport: { width: 640, height: 360 }, deviceScaleFactor: 2, reducedMotion: 'reduce' as const },
    `${VIEW}&attention=1`,
    'm',
  ],
  ['an empty view', { colorScheme: 'light' as const }, 'metric=v&at=0,0,9', 'm'],
])('nothing keeps people out: %s', async (_, options, query, key) => {
  const { page, faults } = await visit(browser, `${site}/?${query}`, options);
  await until(
    'an answer',
    () => text(page, '.legend-foot').catch(() => ''),
    (seen) => !seen.includes('Loading'),
  );
  await page.locator('.chart-box canvas').waitFor();
  await page.keyboard.press(key);
  if ('viewport' in options) await page.locator('.menu-button').click();
  expect(await barriers(page)).toEqual([]);
  expect(faults).toEqual([]);
  await page.context().close();
});

test('panels leave the map to those who look at it, on small screens too', async () => {
  const boxes = (page: Page, ...selectors: string[]) =>
    Promise.all(
      selectors.map(async (one) => {
        const box = await page.locator(one).first().boundingBox();
        if (!box) throw new Error(`\`${one}\` is not seen`);
        return { left: box.x, top: box.y, right: box.x + box.width, bottom: box.y + box.height };
      }),
    );
  const phone = await visit(browser, `${site}/?${VIEW}&device=acme/bus-01`, {
    viewport: { width: 390, height: 844 },
  });
  await hasHexagonsIn(phone.page);
  const [legend, drawer] = await boxes(phone.page, '.legend', '.drawer');
  expect((legend?.bottom ?? 0) - (legend?.top ?? 0)).toBeLessThan(56);
  expect(legend?.bottom).toBeLessThan((drawer?.top ?? 0) - 200);
  await phone.page.locator('.menu-button').click();
  await phone.page.getByRole('button', { name: /What needs a look/ }).click();
  await phone.page.locator('.attention').waitFor();
  expect(await phone.page.locator('.more').isVisible()).toBe(false);
  await phone.page.context().close();

  const small = await visit(browser, `${site}/?${VIEW}&table=1`, { viewport: { width: 1024, height: 640 } });
  await hasHexagonsIn(small.page);
  const area = (box: Awaited<ReturnType<typeof boxes>>[0]) => (box.right - box.left) * (box.bottom - box.top);
  const [map, table, colours] = await boxes(small.page, '.map', '.table', '.legend');
  if (!map || !table || !colours) throw new Error('all are seen');
  expect((area(table) + area(colours)) / area(map)).toBeLessThan(0.4);
  await small.page.keyboard.press('?');
  const [help, zoom] = await boxes(small.page, '.help', '.maplibregl-ctrl-zoom-in');
  expect(zoom?.right).toBeLessThan(help?.left ?? 0);
  await small.page.context().close();
});

test('text of devices stays text, from the broker to the screen', async () => {
  // No device can be called so: the message becomes a dead letter.
  await program.publish([message('<script>alert(1)<', 1)]);
  published -= 1;
  const letters = "SELECT count() FROM dead_letters WHERE topic LIKE '%<script>%'";
  await until(
    'the dead letter',
    () => program.number(letters),
    (count) => count === 1,
  );
  const { page, faults } = await visit(browser, `${site}/?${VIEW}&device=acme/evil`);
  await until(
    'the attribute',
    () => text(page, '.drawer'),
    (seen) => seen.includes(EVIL),
  );
  expect(await page.locator('.drawer script, .drawer img').count()).toBe(0);
  await page.locator('#search').fill(EVIL);
  await until(
    'the note',
    () => text(page, '#suggestions'),
    (seen) => seen.includes(EVIL),
  );
  expect(await page.locator('#suggestions script, #suggestions img').count()).toBe(0);
  for (const query of [
    `device=acme/${encodeURIComponent(EVIL)}`,
    `metric=${encodeURIComponent(EVIL)}`,
    `tenant=${EVIL}`,
  ]) {
    await page.goto(`${site}/?time=3600s&${query}`);
    await hasHexagons(page);
  }
  expect(faults).toEqual([]);
  await page.context().close();
});

test('when the server is gone the page says so, keeps what it has, and recovers by itself', async () => {
  const { page, faults } = await visit(browser, `${site}/?${VIEW}`);
  await hasHexagons(page);
  await page.route('**/api/**', (route) => route.abort('connectionrefused'));
  await until(
    'the chip',
    () => text(page, '.freshness'),
    (seen) => seen.includes('No answer'),
  );
  expect(await text(page, '.notice')).toContain('The server cannot be reached');
  expect(await text(page, '.legend-foot')).toMatch(/^[1-9]/);
  await page.unroute('**/api/**');
  await until(
    'the chip',
    () => text(page, '.freshness'),
    (seen) => !seen.includes('No answer'),
    60_000,
  );
  await until(
    'the words',
    () => page.getByText('cannot be reached').count(),
    (count) => count === 0,
  );
  // The browser itself reports requests that fail, as it should.
  expect(faults.filter((fault) => !fault.includes('ERR_CONNECTION_REFUSED'))).toEqual([]);
  await page.context().close();
});

test('going back leads to what was looked at before, and a broken address says what is shown instead', async () => {
  const { page, faults } = await visit(browser, `${site}/?${VIEW}&agg=p95&cell=zzz`);
  await hasHexagons(page);
  const toast = await text(page, '.toast');
  expect(toast).toContain('agg=p95 (shown: the average)');
  expect(toast).toContain('cell=zzz');
  await page.getByLabel('Aggregate').selectOption('max');
  await page.waitForURL((url) => url.searchParams.get('agg') === 'max');
  // Looking elsewhere is no step back.
  await page.keyboard.press('+');
  await page.goBack();
  await page.waitForURL((url) => url.searchParams.get('agg') === null);
  expect(await page.getByLabel('Aggregate').inputValue()).toBe('avg');
  await page.goForward();
  await page.waitForURL((url) => url.searchParams.get('agg') === 'max');
  expect(faults).toEqual([]);
  await page.context().close();
});

test('what is exported is what is in view', async () => {
  const { page } = await visit(browser, `${site}/?${VIEW}`);
  await hasHexagons(page);
  const count = Number((await text(page, '.legend-foot')).split(' ')[0]);
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByLabel('Export').selectOption('csv')]);
  expect(download.suggestedFilename()).toMatch(/^v-avg-\d{8}T\d{4}Z-\d{8}T\d{4}Z\.csv$/);
  const stream = await download.createReadStream();
  const pieces: Buffer[] = [];
  for await (const piece of stream) pieces.push(piece as Buffer);
  const lines = Buffer.concat(pieces).toString().trim().split(/\r?\n/);
  expect(lines[0]).toBe('cell,value,count');
  expect(lines.length - 1).toBe(count);
  await page.context().close();
});

test.each(['640x360', '720x450', '844x390', '390x844', '1024x600', '1280x720'])(
  'at %s no panel lies on the legend or the buttons of the map',
  async (size) => {
    const [width = 0, height = 0] = size.split('x').map(Number);
    const { page } = await visit(browser, `${site}/?${VIEW}`, { viewport: { width, height } });
    await hasHexagonsIn(page);
    const overlaps = (panels: string) =>
      page.evaluate((selector) => {
        const boxes = (of: string) =>
          [...document.querySelectorAll(of)].map((one) => one.getBoundingClientRect()).filter((box) => box.width > 0);
        const free = boxes('.legend, .maplibregl-ctrl-group, .maplibregl-ctrl-scale');
        return boxes(selector).flatMap((panel) =>
          free.filter(
            (one) =>
              one.left < panel.right - 1 &&
              one.right > panel.left + 1 &&
              one.top < panel.bottom - 1 &&
              one.bottom > panel.top + 1,
          ),
        ).length;
      }, panels);
    await page.keyboard.press('t');
    await page.locator('.table tbody tr').first().waitFor();
    expect(await overlaps('.table')).toBe(0);
    await page.locator('.table tbody tr').first().press('Enter');
    await page.locator('.drawer').waitFor();
    expect(await overlaps('.table, .drawer')).toBe(0);
    await page.context().close();
  },
);

test('the table takes the focus when its key opens it, and the map has it back when it closes', async () => {
  const { page, faults } = await visit(browser, `${site}/?${VIEW}`);
  await hasHexagons(page);
  const focused = (selector: string) => page.evaluate((of) => document.activeElement?.matches(of) ?? false, selector);
  await page.keyboard.press('t');
  await until(
    'focus on the first row',
    () => focused('.table tbody tr:first-child'),
    (is) => is,
  );
  await page.keyboard.press('t');
  await page.locator('.table').waitFor({ state: 'detached' });
  await until(
    'focus on the map',
    () => focused('.maplibregl-canvas'),
    (is) => is,
  );
  expect(faults).toEqual([]);
  await page.context().close();
});
