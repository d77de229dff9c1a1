/** How long the page takes to come, on a slow line and on a slow processor, from nothing kept to hexagons. */

import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, test } from 'vitest';

import { open } from '../browser';
import { Program } from '../program';

/** A view with hexagons, so that what is measured does not depend on where the fleet is. */
const VIEW = 'metric=speed&tenant=demo&at=52.51000,13.40000,12.00';

/** A second or two is luck on a machine that does other things: the middle one counts. */
const RUNS = 5;

/** One that many mobile networks reach, as tools that audit pages have it. */
const SLOW_LINE = { latency: 150, downloadThroughput: 1_600_000 / 8, uploadThroughput: 750_000 / 8 };

const LINES = [
  { name: 'loopback', line: undefined, slowdown: 1 },
  { name: '1.6 Mbit/s, 150 ms', line: SLOW_LINE, slowdown: 1 },
  { name: '1.6 Mbit/s, 150 ms, processor slowed down four times', line: SLOW_LINE, slowdown: 4 },
];

let program: Program;
let browser: Browser;

beforeAll(async () => {
  [program, browser] = await Promise.all([Program.start('--demo'), open()]);
  // The history of the fleet is told first.
  await new Promise((resolve) => setTimeout(resolve, 20_000));
});

afterAll(async () => {
  await browser?.close();
  await program?.stop();
});

interface Times {
  /** First contentful paint. */
  paint: number;
  hexagons: number;
}

async function measure({ line, slowdown }: (typeof LINES)[number]): Promise<Times> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, locale: 'en-GB' });
  const page = await context.newPage();
  const devtools = await context.newCDPSession(page);
  if (line) await devtools.send('Network.emulateNetworkConditions', { offline: false, ...line });
  await devtools.send('Emulation.setCPUThrottlingRate', { rate: slowdown });
  const began = performance.now();
  await page.goto(`${program.endpoints.http}/?${VIEW}`, { waitUntil: 'commit' });
  await page.locator('.legend-foot', { hasText: /^[1-9]/ }).waitFor({ timeout: 60_000 });
  const hexagons = performance.now() - began;
  const paint = await page.evaluate(
    () => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? Number.NaN,
  );
  await context.close();
  return { paint, hexagons };
}

const middle = (all: number[]) => all.sort((a, b) => a - b)[Math.floor(all.length / 2)] ?? Number.NaN;
const seconds = (ms: number) => `${(ms / 1_000).toFixed(2)} s`;

test.each(LINES)('$name', async (line) => {
  const times: Times[] = [];
  for (let run = 0; run < RUNS; run += 1) times.push(await measure(line));
  const [paint, hexagons] = [middle(times.map((one) => one.paint)), middle(times.map((one) => one.hexagons))];
  console.log(`${line.name}: first paint ${seconds(paint)}, hexagons ${seconds(hexagons)} (middle of ${RUNS})`);
});
