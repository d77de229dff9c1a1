/** The pictures of the documents, taken of the demo. Look at each of them before it is committed. */

import { join } from 'node:path';

import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, beforeAll, test } from 'vitest';

import { awayFromTheHour, open, visit } from '../browser';
import { Program } from '../program';

const FOLDER = join(import.meta.dirname, '../../../../docs/images');
const CITY = 'metric=speed&tenant=demo&time=3600s';
const AT = 'at=52.51500,13.40500,11.70';
const PHONE = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2 };
const LAPTOP = { viewport: { width: 1440, height: 900 } };

/** Some minutes of the fleet make a series and tracks. */
const FLEET_MS = 150_000;
/** Longer than the page takes to call data stale. */
const SILENCE_MS = 150_000;

let program: Program;
let browser: Browser;

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

beforeAll(async () => {
  await awayFromTheHour();
  [program, browser] = await Promise.all([Program.start('--demo'), open()]);
  await pause(FLEET_MS);
});

afterAll(async () => {
  await browser?.close();
  await program?.stop();
});

/** `prepare` brings the page to where it is to be shown. */
async function take(
  name: string,
  query: string,
  options: BrowserContextOptions,
  prepare: (page: Page) => Promise<unknown> = () => Promise.resolve(),
): Promise<void> {
  const { page } = await visit(browser, `${program.endpoints.http}/?${query}`, options);
  // A phone has no room for the words.
  await page.locator('.legend-foot', { hasText: /^[1-9]/ }).waitFor({ state: 'attached' });
  await prepare(page);
  // Hexagons and panels come with a movement.
  await pause(3_000);
  await page.screenshot({ path: join(FOLDER, name) });
  await page.context().close();
}

test('of a fleet at work', async () => {
  await take('dashboard.png', `${CITY}&${AT}`, LAPTOP);
  await take('dashboard-dark.png', `${CITY}&${AT}`, { ...LAPTOP, colorScheme: 'dark' });
  await take('dashboard-phone.png', `${CITY}&at=52.52000,13.40000,11.30`, PHONE);
  const device = `${CITY}&device=demo/van-berlin-016`;
  await take('dashboard-device.png', device, { ...LAPTOP, colorScheme: 'dark' }, (page) =>
    page.getByRole('button', { name: 'Show on the map' }).click(),
  );
});

test('of a fleet that is silent', async () => {
  await program.restart();
  await pause(SILENCE_MS);
  await take('dashboard-stale.png', `${CITY}&${AT}&attention=1`, LAPTOP, (page) => page.locator('.freshness').click());
});
