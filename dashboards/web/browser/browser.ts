/** A real Chromium, and a page in it that must not complain or ask anybody else for anything. */

import axe from 'axe-core';
import { chromium, type Browser, type BrowserContextOptions, type Page } from 'playwright-core';

/** How the browser puts a page together: as with a graphics card, or all by the processor, as on many virtual machines. */
export type Drawing = 'graphics' | 'processor';

export async function open(drawing: Drawing = 'graphics'): Promise<Browser> {
  return chromium.launch({
    executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
    args: [
      '--no-sandbox',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--lang=en-US',
      // Machines that test have no graphics card: the processor plays one, at least for the map.
      drawing === 'graphics' ? '--use-gl=angle' : '--disable-gpu',
      '--use-angle=swiftshader',
      '--enable-unsafe-swiftshader',
    ],
  });
}

/** A page, and everything in it that should not be. */
export interface Watched {
  page: Page;
  faults: string[];
  /** Addresses that were asked for. */
  asked: string[];
}

export async function visit(browser: Browser, address: string, options: BrowserContextOptions = {}): Promise<Watched> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, locale: 'en-GB', ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  const faults: string[] = [];
  const asked: string[] = [];
  page.on('console', (message) => {
    // A browser without a graphics card says so.
    const isAboutDrawing = /GL Driver Message|GPU stall|swiftshader|WebGL/i.test(message.text());
    if (['error', 'warning'].includes(message.type()) && !isAboutDrawing) {
      faults.push(`${message.type()}: ${message.text()} (${message.location().url})`);
    }
  });
  page.on('pageerror', (error) => faults.push(`exception: ${error.message}`));
  page.on('request', (request) => asked.push(request.url()));
  page.on('dialog', (dialog) => {
    faults.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  await page.goto(address);
  return { page, faults, asked };
}

/** The colours of places on the screen as `r,g,b`, just as a person sees them. */
export async function colours(page: Page, places: readonly (readonly [number, number])[]): Promise<string[]> {
  const image = (await page.screenshot()).toString('base64');
  return page.evaluate(
    async ([encoded, wanted]) => {
      const bytes = Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0));
      const picture = await createImageBitmap(new Blob([bytes], { type: 'image/png' }));
      const canvas = new OffscreenCanvas(picture.width, picture.height);
      const context = canvas.getContext('2d') as OffscreenCanvasRenderingContext2D;
      context.drawImage(picture, 0, 0);
      const { data, width } = context.getImageData(0, 0, picture.width, picture.height);
      return wanted.map(([x, y]) => data.slice((y * width + x) * 4, (y * width + x) * 4 + 3).join(','));
    },
    [image, places] as const,
  );
}

/** What keeps people out, seriously, and how far the page sticks out at the side. */
export async function barriers(page: Page): Promise<unknown[]> {
  await page.evaluate(axe.source);
  const { found, overflow } = await page.evaluate(async () => {
    const { violations } = await (window as unknown as { axe: typeof axe }).axe.run();
    return {
      found: violations.map(({ id, impact, nodes }) => ({
        id,
        impact,
        where: nodes.map((node) => node.html.slice(0, 160)),
      })),
      overflow: document.documentElement.scrollWidth - innerWidth,
    };
  });
  const serious = found.filter(({ impact }) => impact === 'serious' || impact === 'critical');
  return overflow > 0 ? [...serious, { overflow }] : serious;
}

/** Live views begin anew with each hour: none may end between what is published and what is looked at. */
export async function awayFromTheHour(): Promise<void> {
  const leftMs = 3_600_000 - (Date.now() % 3_600_000);
  if (leftMs < 90_000) await new Promise((resolve) => setTimeout(resolve, leftMs + 1_000));
}

/** Waits until a condition holds, and says what was last seen when it never does. */
export async function until<T>(
  what: string,
  read: () => Promise<T>,
  holds: (seen: T) => boolean,
  ms = 30_000,
): Promise<T> {
  const deadline = Date.now() + ms;
  for (;;) {
    const seen = await read();
    if (holds(seen)) return seen;
    if (Date.now() > deadline) throw new Error(`${what}: last seen ${JSON.stringify(seen)}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
