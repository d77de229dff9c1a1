/** Somebody who sees the page for the first time is told what there is, what there is not, and what to do. */

import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { awayFromTheHour, barriers, open, until, visit } from './browser';
import { Program } from './program';

const HERE = [48.137, 11.575] as const;
const VIEW = `tenant=acme&time=3600s&period=60&at=${HERE[0]},${HERE[1]},10.50`;

let program: Program;
let browser: Browser;
let site: string;

beforeAll(async () => {
  await awayFromTheHour();
  [program, browser] = await Promise.all([Program.start(), open()]);
  site = program.endpoints.http;
});

afterAll(async () => {
  await browser?.close();
  await program?.stop();
});

const text = (page: Page, selector: string) => page.locator(selector).first().innerText();

function message(device: string, agoMs: number, place: readonly [number, number]) {
  const payload = { ts: Date.now() - agoMs, lat: place[0], lon: place[1], metrics: { temperature: 21.5 } };
  return { topic: `telemetry/acme/${device}`, payload: JSON.stringify(payload) };
}

test('an empty store shows the one command that publishes something, and then what was published', async () => {
  const { page, faults } = await visit(browser, site);
  await until(
    'the command',
    () => text(page, '.first-run pre'),
    (seen) => seen.includes(`-p ${new URL(program.endpoints.mqtt).port} `),
  );
  expect(await barriers(page)).toEqual([]);
  // Nobody is logged in where there are no keys.
  expect(await page.getByRole('button', { name: /Log out/ }).count()).toBe(0);
  const [, topic, payload] = /-t (\S+)[^']*'([^']+)'/.exec(await text(page, '.first-run pre')) ?? [];
  await program.publish([{ topic: topic as string, payload: payload as string }]);
  await page.locator('.first-run').waitFor({ state: 'detached' });
  await until(
    'the hexagon',
    () => text(page, '.legend-foot'),
    (seen) => seen.startsWith('1 hexagon '),
  );
  expect(faults).toEqual([]);
  // A path that takes twenty minutes, and a device that is silent since.
  const path = Array.from({ length: 20 }, (_, index) => {
    return message('bus-01', (20 - index) * 60_000, [HERE[0] + index * 0.002, HERE[1]]);
  });
  await program.publish([...path, message('bus-02', 3_000, HERE), message('bus-03', 700_000, HERE)]);
  await until(
    'the devices',
    () => program.number("SELECT count() FROM devices WHERE device LIKE 'bus-%'"),
    (count) => count === 3,
  );
  await page.context().close();
});

test('a metric that nobody published is called that, and those that there are can be taken', async () => {
  const { page, faults } = await visit(browser, `${site}/?${VIEW}&metric=nope`);
  await until(
    'the words',
    () => text(page, '.notice'),
    (seen) => seen.includes('No metric “nope” has been published'),
  );
  await page.locator('.notice button', { hasText: 'temperature' }).click();
  await until(
    'hexagons',
    () => text(page, '.legend-foot'),
    (seen) => /^[1-9]/.test(seen),
  );
  await page.goto(`${site}/?tenant=nobody&metric=temperature`);
  await page.locator('.notice', { hasText: 'tenant “nobody”' }).waitFor();
  await page.locator('.notice button', { hasText: 'All tenants' }).click();
  await page.locator('.notice').waitFor({ state: 'detached' });
  // The same where the address names no metric: none can be chosen for that tenant.
  await page.goto(`${site}/?tenant=nobody`);
  await page.locator('.notice', { hasText: 'tenant “nobody”' }).waitFor();
  expect(await text(page, '.freshness')).toBe('No data');
  await page.locator('.notice button', { hasText: 'acme' }).click();
  await until(
    'hexagons',
    () => text(page, '.legend-foot').catch(() => ''),
    (seen) => /^[1-9]/.test(seen),
  );
  expect(faults).toEqual([]);
  await page.context().close();
});

test('percentiles of a live view are asked for, without a vain try to stream them, and the chip says so', async () => {
  const { page, faults, asked } = await visit(browser, `${site}/?tenant=acme&metric=temperature&agg=p90&period=86400`);
  await until(
    'the chip',
    () => text(page, '.freshness'),
    (seen) => seen.includes('Polling') || seen.includes('Stale'),
  );
  await page.locator('.freshness').click();
  const words = await text(page, '.freshness-card');
  expect(words).toContain('Asked for every 2 s, as percentiles and numbers of devices are not streamed.');
  expect(words).toContain('Complete up to');
  expect(words).toContain('Not final: more may come in until');
  expect(await text(page, '.pill')).toBe('not final');
  expect(await barriers(page)).toEqual([]);
  await page.keyboard.press('Escape');
  await page.locator('.freshness-card').waitFor({ state: 'detached' });
  expect(asked.filter((address) => address.includes('/live'))).toEqual([]);
  expect(faults).toEqual([]);
  await page.context().close();
});

test('devices in view that fell silent are listed, and those that report are not', async () => {
  const { page, faults } = await visit(browser, `${site}/?${VIEW}&metric=temperature`);
  await page.keyboard.press('a');
  await page.locator('.attention .list button', { hasText: 'bus-03' }).waitFor();
  expect(await page.locator('.attention .list button', { hasText: 'bus-02' }).count()).toBe(0);
  await page.getByLabel('Silent for more than').selectOption('900');
  await until(
    'nobody',
    () => text(page, '.attention'),
    (seen) => seen.includes('None of 3 devices'),
  );
  expect(page.url()).toContain('attention=1');
  expect(faults).toEqual([]);
  await page.context().close();
});

test('a device tells how far it went and when, and every file says what is in it', async () => {
  const { page, faults } = await visit(browser, `${site}/?${VIEW}&metric=temperature&device=acme/bus-01`);
  await until(
    'the path',
    () => text(page, '.drawer'),
    (seen) => /4\.2\d? km in 20 positions/.test(seen),
  );
  await until(
    'hexagons',
    () => text(page, '.legend-foot'),
    (seen) => /^[1-9]/.test(seen),
  );
  const labels = await page
    .getByLabel('Export')
    .locator('optgroup')
    .evaluateAll((groups) => groups.map((group) => (group as HTMLOptGroupElement).label));
  expect(labels[0]).toMatch(/^Average temperature of \d+ hexagons in view, .* – /);
  expect(labels.slice(1)).toEqual(['Average temperature over time, of bus-01', 'Track of bus-01']);
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.getByLabel('Export').selectOption('track-csv'),
  ]);
  expect(download.suggestedFilename()).toMatch(/^bus-01-track-\d{8}T\d{4}Z-\d{8}T\d{4}Z\.csv$/);
  const pieces: Buffer[] = [];
  for await (const piece of await download.createReadStream()) pieces.push(piece as Buffer);
  expect(Buffer.concat(pieces).toString().trim().split(/\r?\n/)).toHaveLength(21);
  expect(faults).toEqual([]);
  await page.context().close();
});

test('a metric that has stopped is told from a tenant that goes on', async () => {
  const payload = { ts: Date.now() - 180_000, lat: HERE[0], lon: HERE[1], metrics: { door: 1 } };
  await program.publish([
    { topic: 'telemetry/acme/bus-01', payload: JSON.stringify(payload) },
    message('bus-02', 0, HERE),
  ]);
  await until(
    'the metric',
    () => program.number("SELECT count() FROM measurements WHERE metric = 'door'"),
    (count) => count === 1,
  );
  const { page, faults } = await visit(browser, `${site}/?${VIEW}&metric=door`);
  await until(
    'hexagons',
    () => text(page, '.legend-foot').catch(() => ''),
    (seen) => /^[1-9]/.test(seen),
  );
  // The chip is about the tenant, and the card about both.
  expect(await text(page, '.freshness')).toMatch(/^Polling · \d/);
  await page.locator('.freshness').click();
  expect(await text(page, '.freshness-card')).toMatch(/Newest value of door\s+\S+ 3 min ago/);
  await page.getByLabel('Metric', { exact: true }).selectOption('temperature');
  await until(
    'the card',
    () => text(page, '.freshness-card'),
    (seen) => /Newest value of temperature\s+Within the last 30 s/.test(seen),
  );
  expect(faults).toEqual([]);
  await page.context().close();
});

test('a database that is not there yet is one story everywhere, and its end needs no reload', async () => {
  const { page } = await visit(browser, 'about:blank');
  const problem = {
    type: 'urn:meridian:problem:store-unavailable',
    detail: 'the keys are not known yet, since ClickHouse has not answered; try again in a moment',
  };
  const answer = { status: 503, contentType: 'application/problem+json', body: JSON.stringify(problem) };
  await page.route('**/api/**', (route) => route.fulfill(answer));
  await page.goto(`${site}/?${VIEW}&metric=temperature`);
  await page.locator('.notice', { hasText: 'The database is not ready' }).waitFor();
  expect(await text(page, '.notice')).toContain('ClickHouse does not answer. It is tried again by itself.');
  expect(await text(page, '.freshness')).toBe('No answer');
  expect(await text(page, '.chart-note')).toBe('The database is not ready.');
  await page.locator('.freshness').click();
  expect(await text(page, '.freshness-card')).toContain('ClickHouse does not answer.');
  expect(await page.getByText(/Loading|keys are not known/).count()).toBe(0);
  await page.unroute('**/api/**');
  await until(
    'hexagons',
    () => text(page, '.legend-foot').catch(() => ''),
    (seen) => /^[1-9]/.test(seen),
    60_000,
  );
  await page.context().close();
});

test('when a new hour begins, the card says so and offers the hour before', async () => {
  const { page, faults } = await visit(browser, 'about:blank');
  // The clock of the page and the answer agree on an hour that began a moment ago.
  const hour = 3_600_000;
  const beganMs = (Math.floor(Date.now() / hour) + 1) * hour;
  await page.clock.setFixedTime(beganMs + 20_000);
  await page.route('**/api/v1/live?**', (route) => route.fulfill({ status: 503, body: '' }));
  await page.route('**/api/v1/cells?**', (route) => {
    const times = { from: new Date(beganMs).toISOString(), to: new Date(beganMs + hour).toISOString() };
    const freshness = new Date(beganMs + 18_000).toISOString();
    const of = { metric: 'temperature', agg: 'avg', period: 3_600, res: 8, ...times, freshness };
    return route.fulfill({ json: { ...of, cells: [], values: [], counts: [], complete: false, coarsened: false } });
  });
  await page.goto(`${site}/?tenant=acme&metric=temperature&at=${HERE[0]},${HERE[1]},10.50`);
  const card = page.locator('.notice', { hasText: 'The hour has just begun' });
  await card.waitFor({ timeout: 60_000 });
  expect(await card.innerText()).toContain('Nothing has reported temperature from here since');
  expect(await card.locator('.primary').innerText()).toBe('Show the last hour');
  await card.locator('.primary').click();
  await until(
    'the address',
    async () => page.url(),
    (address) => address.includes('time=3600s'),
  );
  // The browser itself reports the refusal of the stream, as it should.
  expect(faults.filter((fault) => !fault.includes('status of 503'))).toEqual([]);
  await page.context().close();
});
