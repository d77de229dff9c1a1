/** Who may not see it, sees nothing; who may, is asked for a key, and sees what it is for. With real keys. */

import { latLngToCell } from 'h3-js';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { awayFromTheHour, barriers, open, until, visit, type Watched } from './browser';
import { Program, type Key } from './program';

const HERE = [48.137, 11.575] as const;
const AT = `at=${HERE[0]}00,${HERE[1]}00,10.50`;
const VIEW = `metric=v&${AT}`;
/** A key that is revoked closes the door within two seconds; who looks at the map asks within four. */
const SECONDS_MAX = 20_000;

let program: Program;
let browser: Browser;
let site: string;
/** Opened while there were no keys. */
let early: Watched;
let [acme, both, all]: Key[] = [];

function message(tenant: string, device: string) {
  const payload = { ts: Date.now(), lat: HERE[0], lon: HERE[1], metrics: { v: 1 } };
  return { topic: `telemetry/${tenant}/${device}`, payload: JSON.stringify(payload) };
}

beforeAll(async () => {
  await awayFromTheHour();
  [program, browser] = await Promise.all([Program.start(), open()]);
  site = program.endpoints.http;
  await program.publish([message('acme', 'bus-01'), message('beta', 'van-01')]);
  early = await visit(browser, `${site}/?${VIEW}`);
  await hasHexagons(early.page);
  acme = await program.keys('new', '--tenant', 'acme', '--name', 'yard');
  both = await program.keys('new', '--tenant', 'acme', '--tenant', 'beta');
  all = await program.keys('new', '--all-tenants');
});

afterAll(async () => {
  await browser?.close();
  await program?.stop();
});

const text = (page: Page, selector: string) => page.locator(selector).first().innerText();
const options = (page: Page, label: string) =>
  page.getByLabel(label, { exact: true }).locator('option').allInnerTexts();
/** The browser itself reports answers that are refusals, as it should. */
const own = (faults: readonly string[]) => faults.filter((fault) => !/status of 40[14]/.test(fault));

/** The address follows what is shown after a moment. */
async function addressHas(page: Page, part: string): Promise<void> {
  await until(
    'the address',
    async () => page.url(),
    (address) => address.includes(part),
  );
}

async function hasHexagons(page: Page): Promise<void> {
  await until(
    'hexagons',
    () => text(page, '.legend-foot').catch(() => ''),
    (seen) => /^[1-9]/.test(seen),
    60_000,
  );
}

async function logIn(page: Page, key: string | undefined): Promise<void> {
  await page.getByLabel('API key').fill(key ?? '');
  await page.keyboard.press('Enter');
}

/** The login is there, nothing else is, and nothing more is asked. */
async function isShut({ page, asked }: Watched, words: string): Promise<void> {
  await page.locator('.login').waitFor({ timeout: SECONDS_MAX });
  expect(await text(page, '.login .told')).toContain(words);
  expect(await page.locator('canvas, .legend, .drawer, .table, .bar').count()).toBe(0);
  expect(await page.evaluate(() => document.activeElement?.id)).toBe('key');
  const before = asked.length;
  await page.waitForTimeout(6_000);
  // Pieces of the page itself may still be on their way.
  expect(asked.slice(before).filter((address) => address.includes('/api/'))).toEqual([]);
}

/** Opens the page with a key, as a person does. Servers know a new key within two seconds: that is waited for first. */
async function enter(key: Key | undefined, query: string): Promise<Watched> {
  const seen = await visit(browser, `${site}/?${query}`);
  const headers = { authorization: `Bearer ${key?.key}` };
  await until(
    'a server that knows the key',
    () => seen.page.context().request.get(`${site}/api/v1/metrics-catalog`, { headers }),
    (answer) => answer.status() !== 401,
  );
  await seen.page.locator('.login').waitFor();
  await logIn(seen.page, key?.key);
  await seen.page.locator('.bar').waitFor();
  return seen;
}

const sessionStatus = (context: BrowserContext) =>
  context.request.get(`${site}/api/v1/session`).then((answer) => answer.status());

test('with the first key, a map that is open becomes a login', async () => {
  await isShut(early, 'From now on this server asks for a key.');
  expect(own(early.faults)).toEqual([]);
  await early.page.context().close();
});

test('the login tells a wrong key, and a right one opens the view that was asked for, of its tenant alone', async () => {
  const seen = await visit(browser, `${site}/?${VIEW}&table=1`);
  const { page, faults } = seen;
  await isShut(seen, '');
  expect(await barriers(page)).toEqual([]);
  await logIn(page, `mrd_000000000000_${'a'.repeat(43)}`);
  await until(
    'the words',
    () => text(page, '.login .told'),
    (told) => told.includes('unknown, expired or revoked'),
  );
  await logIn(page, acme?.key);
  await hasHexagons(page);
  expect(page.url()).toContain(AT);
  await addressHas(page, 'tenant=acme');
  await page.locator('.table').waitFor();
  // There is nothing to choose from.
  expect(await text(page, '.tenant')).toMatch(/acme$/);
  expect(await page.getByLabel('Tenant', { exact: true }).count()).toBe(0);
  // What is not one's own looks like what there is not, and the way back is offered.
  await page.goto(`${site}/?${VIEW}&tenant=beta`);
  await until(
    'the card',
    () => text(page, '.notice'),
    (told) => told.includes('Your key is not for a tenant “beta”'),
  );
  expect(await page.getByText('All tenants').count()).toBe(0);
  await page.locator('.notice button', { hasText: 'acme' }).click();
  await hasHexagons(page);
  expect(own(faults)).toEqual([]);
  await page.context().close();
});

test('a key for several tenants shows the first of them, and offers just these', async () => {
  const { page, faults } = await enter(both, AT);
  await hasHexagons(page);
  expect(await options(page, 'Tenant')).toEqual(['acme', 'beta']);
  await addressHas(page, 'tenant=acme');
  await page.getByLabel('Tenant', { exact: true }).selectOption('beta');
  await addressHas(page, 'tenant=beta');
  await hasHexagons(page);
  await page.locator('.maplibregl-canvas').click();
  await page.locator('.drawer .list button', { hasText: 'van-01' }).waitFor();
  expect(own(faults)).toEqual([]);
  await page.context().close();
});

test('a key for all tenants offers them together', async () => {
  const { page, faults } = await enter(all, VIEW);
  await hasHexagons(page);
  expect(await options(page, 'Tenant')).toEqual(['All tenants', 'acme', 'beta']);
  expect(own(faults)).toEqual([]);
  await page.context().close();
});

test('who leaves is logged out, here and in every other page of this browser', async () => {
  const seen = await enter(acme, VIEW);
  const { page } = seen;
  await hasHexagons(page);
  const other: Watched = { page: await page.context().newPage(), faults: [], asked: [] };
  other.page.on('request', (request) => other.asked.push(request.url()));
  await other.page.goto(`${site}/?${VIEW}`);
  await hasHexagons(other.page);
  await page.getByRole('button', { name: 'Log out (yard)' }).click();
  await isShut(seen, 'You are logged out.');
  await isShut(other, 'Your login has ended');
  expect(await sessionStatus(page.context())).toBe(401);
  await page.reload();
  await page.locator('.login').waitFor();
  expect(await text(page, '.login .told')).toBe('');
  await page.context().close();
});

test('a key that is revoked takes the map away within seconds, and says so', async () => {
  const key = await program.keys('new', '--tenant', 'acme');
  const seen = await enter(key, `${VIEW}&cell=${latLngToCell(...HERE, 8)}&table=1`);
  await hasHexagons(seen.page);
  await program.keys('revoke', key.id);
  await isShut(seen, 'The key is unknown, expired or revoked.');
  expect(seen.page.url()).toContain(AT);
  expect(own(seen.faults)).toEqual([]);
  // Another key brings the same view back.
  await logIn(seen.page, acme?.key);
  await hasHexagons(seen.page);
  expect(seen.page.url()).toContain('table=1');
  await seen.page.context().close();
});
