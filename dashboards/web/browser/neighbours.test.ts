/** Pages of other sites, open in the same browser: they may link to the page, and ask nothing behind its back. */

import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { open, until, visit } from './browser';
import { Program } from './program';

let program: Program;
let browser: Browser;
let site: string;
let neighbour: Server;

beforeAll(async () => {
  neighbour = createServer((_request, response) => {
    response.setHeader('content-type', 'text/html');
    response.end(`<!doctype html><title>Neighbour</title><a href="${site}/">the map</a>`);
  });
  await new Promise<void>((resolve) => neighbour.listen(0, '127.0.0.1', resolve));
  [program, browser] = await Promise.all([Program.start(), open()]);
  site = program.endpoints.http;
});

afterAll(async () => {
  await browser?.close();
  await program?.stop();
  neighbour?.close();
});

/** How many requests of other sites were turned away. */
async function refused(): Promise<number> {
  const metrics = await (await fetch(program.endpoints.metrics)).text();
  return Number(/^meridian_requests_refused_total\{reason="site"\} (\d+)$/m.exec(metrics)?.[1] ?? 0);
}

// Another port of the same name is another origin; another name is another site.
for (const host of ['127.0.0.1', 'localhost']) {
  test(`a page of ${host} on another port asks nothing, and its link leads to the page`, async () => {
    const address = `http://${host}:${(neighbour.address() as AddressInfo).port}/`;
    const { page } = await visit(browser, address);
    const before = await refused();
    await page.evaluate(async (site) => {
      await fetch(`${site}/api/v1/cells?metric=v`, { mode: 'no-cors' }).catch(() => undefined);
      await fetch(`${site}/api/v1/series?metric=v`).catch(() => undefined);
      new EventSource(`${site}/api/v1/live?metric=v`);
      new Image().src = `${site}/api/v1/devices`;
      const frame = document.createElement('iframe');
      frame.src = `${site}/`;
      document.body.append(frame);
    }, site);
    await until('all five to be refused', refused, (count) => count === before + 5);
    const asked = page.waitForResponse((response) => response.url().includes('/api/v1/metrics-catalog'));
    await page.click('a');
    await page.waitForURL(`${site}/**`);
    expect((await asked).status()).toBe(200);
    // What a person enters is asked, and what another page leads to is not.
    const entered = await page.goto(`${site}/api/v1/devices`);
    expect(entered?.status()).toBe(200);
    await page.goto(address);
    // Another question: what the browser was just told is in its cache.
    await page.evaluate((question) => location.assign(question), `${site}/api/v1/devices?limit=7`);
    await page.waitForURL(`${site}/**`);
    expect(JSON.parse(await page.locator('body').innerText())).toMatchObject({
      type: 'urn:meridian:problem:site-refused',
    });
    expect(await refused()).toBe(before + 6);
    await page.context().close();
  });
}
