/** The source of hexagons against a small server: streams, breaks, gaps, refusals, and the way back to asking. */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import type { CellsAnswer } from '../src/data/answers';
import { Source, type Status, type Watched } from '../src/data/source';

const LIVE: Watched = {
  tenant: 'acme',
  metric: 'speed',
  aggregate: 'avg',
  period: 3_600,
  resolution: 7,
  box: [13, 52, 14, 53],
  time: { kind: 'live' },
};

function cells(values: Record<string, number>): CellsAnswer {
  return {
    metric: 'speed',
    agg: 'avg',
    period: 3_600,
    res: 7,
    from: '2026-01-01T00:00:00Z',
    to: '2026-01-01T01:00:00Z',
    cells: Object.keys(values),
    values: Object.values(values),
    counts: Object.values(values).map(() => 1),
    freshness: '2026-01-01T00:30:00Z',
    complete: false,
    coarsened: false,
  };
}

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

let server: Server;
let base: string;
let live: Answer;
let polled: Answer;
let source: Source;
let heard: string[];
let statuses: Status[];
/** Ids that streams were resumed after. */
let resumed: (string | undefined)[];
let asked: URL[];

function event(response: ServerResponse, name: string, id: string, data: unknown): void {
  response.write(`event: ${name}\nid: ${id}\ndata: ${JSON.stringify(data)}\n\n`);
}

function stream(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.write(': hello\n\n');
}

function refuse(response: ServerResponse, status: number, detail: string, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-type': 'application/problem+json', ...headers });
  response.end(JSON.stringify({ type: 'urn:meridian:problem:x', title: 'x', detail }));
}

function answer(values: Record<string, number>): Answer {
  return (_, response) => {
    response.writeHead(200, { 'content-type': 'application/json', etag: 'W/"1"' });
    response.end(JSON.stringify(cells(values)));
  };
}

beforeEach(async () => {
  [heard, statuses, resumed, asked] = [[], [], [], []];
  live = (_, response) => refuse(response, 404, 'nothing is served under this address');
  polled = answer({ a: 1 });
  server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', base);
    asked.push(url);
    if (url.pathname === '/api/v1/live') {
      resumed.push(request.headers['last-event-id'] as string | undefined);
      live(request, response);
    } else polled(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  source = new Source(
    { fetch: (address, init) => fetch(new URL(address, base), init), now: Date.now, random: () => 0 },
    {
      snapshot: (of) =>
        heard.push(`snapshot ${of.cells.map((cell, index) => `${cell}=${of.values[index]}`).join(' ')}`),
      delta: (of) => heard.push(`delta ${of.cells.map((cell, index) => `${cell}=${of.values[index]}`).join(' ')}`),
      gap: () => heard.push('gap'),
      fresh: (freshness) => heard.push(`fresh ${freshness}`),
      status: (status) => statuses.push(status),
      tooFine: () => heard.push('too fine'),
    },
  );
});

afterEach(() => {
  source.close();
  server.closeAllConnections();
  server.close();
});

const last = () => statuses.at(-1);
const until = (check: () => boolean) => vi.waitFor(() => expect(check()).toBe(true), { timeout: 8_000, interval: 10 });

test('a stream hands on its snapshot and what changes', async () => {
  live = (_, response) => {
    stream(response);
    event(response, 'snapshot', '1', cells({ a: 1, b: 2 }));
    event(response, 'delta', '2', cells({ b: 3 }));
  };
  source.watch(LIVE);
  await until(() => heard.length === 2);
  expect(heard).toEqual(['snapshot a=1 b=2', 'delta b=3']);
  expect(last()?.mode).toBe('streaming');
  expect(asked[0]?.search).toBe('?tenant=acme&metric=speed&agg=avg&period=3600&res=7&bbox=13%2C52%2C14%2C53');
});

test('a stream that breaks off is resumed where it was', async () => {
  live = (_, response) => {
    stream(response);
    if (resumed.length === 1) {
      event(response, 'snapshot', '7', cells({ a: 1 }));
      setTimeout(() => response.destroy(), 50);
    } else event(response, 'delta', '8', cells({ a: 2 }));
  };
  source.watch(LIVE);
  await until(() => heard.length === 2);
  expect(resumed).toEqual([undefined, '7']);
  expect(heard).toEqual(['snapshot a=1', 'delta a=2']);
  expect(statuses.some((status) => status.mode === 'failing' && status.retryAtMs !== undefined)).toBe(true);
});

test('a gap is told, and the snapshot that follows it replaces everything', async () => {
  live = (_, response) => {
    stream(response);
    event(response, 'snapshot', '1', cells({ a: 1 }));
    event(response, 'gap', '2', {});
    event(response, 'snapshot', '3', cells({ a: 2 }));
  };
  source.watch(LIVE);
  await until(() => heard.length === 3);
  expect(heard).toEqual(['snapshot a=1', 'gap', 'snapshot a=2']);
  expect(resumed).toEqual([undefined]);
});

test('a stream that ends in a gap is not resumed but begun anew', async () => {
  live = (_, response) => {
    stream(response);
    if (resumed.length === 1) event(response, 'snapshot', '1', cells({ a: 1 }));
    if (resumed.length === 1) event(response, 'gap', '2', {});
    if (resumed.length === 1) response.end();
    else event(response, 'snapshot', '3', cells({ a: 2 }));
  };
  source.watch(LIVE);
  await until(() => heard.length === 3);
  expect(resumed).toEqual([undefined, undefined]);
});

test('without a stream it asks, says why, and shows the same', async () => {
  source.watch(LIVE);
  await until(() => last()?.mode === 'polling');
  expect(heard).toEqual(['snapshot a=1']);
  expect(last()?.reason).toBe('the server does not stream');
});

test('what a refusal says about the stream is said', async () => {
  live = (_, response) => refuse(response, 422, '`period` cannot be served live');
  source.watch({ ...LIVE, period: 7_200 });
  await until(() => last()?.mode === 'polling');
  expect(last()?.reason).toBe('`period` cannot be served live');
  // Another view may stream all the same, and is tried at once.
  live = (_, response) => {
    stream(response);
    event(response, 'snapshot', '1', cells({ a: 1 }));
  };
  source.watch(LIVE);
  await until(() => last()?.mode === 'streaming');
});

test('what is never streamed is asked for at once, and the reason is said', async () => {
  let streams = 0;
  live = (_, response) => {
    streams += 1;
    refuse(response, 422, 'no');
  };
  source.watch({ ...LIVE, aggregate: 'p90' });
  await until(() => last()?.mode === 'polling');
  expect(last()?.reason).toBe('percentiles and numbers of devices are not streamed');
  expect(streams).toBe(0);
});

test('a page in place of the stream, as some proxies send it, is no stream', async () => {
  live = (_, response) => {
    response.writeHead(200, { 'content-type': 'text/html' });
    response.end('<h1>Welcome</h1>');
  };
  source.watch(LIVE);
  await until(() => last()?.mode === 'polling');
  expect(last()?.reason).toBe('something on the way answers for the stream');
});

test('a stream that keeps breaking off is left for asking', async () => {
  live = (_, response) => {
    stream(response);
    setTimeout(() => response.destroy(), 10);
  };
  source.watch(LIVE);
  await until(() => last()?.mode === 'polling');
  expect(resumed.length).toBe(3);
});

test('a server in trouble is tried again, not before it asks to', async () => {
  let refusals = 0;
  polled = (request, response) => {
    if (refusals++ < 1) refuse(response, 503, 'ClickHouse does not answer', { 'retry-after': '1' });
    else answer({ a: 5 })(request, response);
  };
  source.watch({ ...LIVE, time: { kind: 'last', seconds: 900 } });
  await until(() => last()?.mode === 'failing');
  const failed = Date.now();
  expect(last()?.reason).toBe('ClickHouse does not answer');
  await until(() => last()?.mode === 'polling');
  expect(Date.now() - failed).toBeGreaterThanOrEqual(900);
  expect(heard).toEqual(['snapshot a=5']);
});

test('what did not change is not sent again, but its freshness is', async () => {
  polled = (request, response) => {
    if (request.headers['if-none-match'] !== 'W/"1"') return answer({ a: 1 })(request, response);
    response.writeHead(304, { etag: 'W/"1"', 'meridian-freshness': '2026-01-01T00:31:00Z' });
    return response.end();
  };
  // A range that ends with a whole day: it stays the same over midnight minutes of this test.
  source.watch({ ...LIVE, period: 86_400, time: { kind: 'last', seconds: 900 } });
  await until(() => heard.length === 2);
  expect(heard).toEqual(['snapshot a=1', 'fresh 2026-01-01T00:31:00Z']);
});

test('a wrong question is not asked again, and a resolution that is too fine is told', async () => {
  polled = (_, response) => {
    response.writeHead(400, { 'content-type': 'application/problem+json' });
    response.end(JSON.stringify({ detail: 'the resolution is finer than what is stored', parameter: 'res' }));
  };
  source.watch({ ...LIVE, time: { kind: 'last', seconds: 900 } });
  await until(() => heard.includes('too fine'));
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(asked.length).toBe(1);
});

test('paused, it shows a new view once and then stays still', async () => {
  source.pause();
  source.watch(LIVE);
  await until(() => heard.length === 1);
  await new Promise((resolve) => setTimeout(resolve, 2_500));
  expect(heard).toEqual(['snapshot a=1']);
  expect(last()?.mode).toBe('paused');
  source.resume();
  await until(() => last()?.mode === 'polling');
});

test('nothing of a view before arrives after the next one was asked for', async () => {
  const late: ServerResponse[] = [];
  polled = (request, response) => {
    if (asked.at(-1)?.searchParams.get('metric') === 'speed') late.push(response);
    else answer({ b: 2 })(request, response);
  };
  const range = { kind: 'last', seconds: 900 } as const;
  source.watch({ ...LIVE, time: range });
  await until(() => late.length === 1);
  source.watch({ ...LIVE, metric: 'battery', time: range });
  await until(() => heard.length === 1);
  late[0]?.end(JSON.stringify(cells({ a: 1 })));
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(heard).toEqual(['snapshot b=2']);
});
