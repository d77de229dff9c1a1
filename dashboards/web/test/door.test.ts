/** Once the server does not know who asks, nobody is answered and nothing more is asked. */

import { expect, test } from 'vitest';

import { ask } from '../src/data/api';
import { Door, type Shut } from '../src/data/door';

/** A server that knows who asks until it is told otherwise, and counts what it is asked. */
function server() {
  const seen = { asked: 0, isKnown: true, kind: 'credential-refused', aborted: 0, shut: [] as Shut[] };
  const refusal = () => new Response(JSON.stringify({ type: `urn:meridian:problem:${seen.kind}` }), { status: 401 });
  const door = new Door(
    async (address, init) => {
      seen.asked += 1;
      if (!address.endsWith('live')) return seen.isKnown ? new Response('{"a":1}') : refusal();
      return new Promise((_, reject) => {
        init?.signal?.addEventListener('abort', () => {
          seen.aborted += 1;
          reject(new DOMException('cut off', 'AbortError'));
        });
      });
    },
    (why) => seen.shut.push(why),
  );
  return { seen, door };
}

/** Whether a promise is still open after everything else has been done. */
async function isOpen(promise: Promise<unknown>): Promise<boolean> {
  const later = new Promise((resolve) => setTimeout(resolve, 20, 'later'));
  return (await Promise.race([promise.catch(() => 'failed'), later])) === 'later';
}

test('who is known is answered', async () => {
  const { door, seen } = server();
  expect((await ask<{ a: number }>(door.fetch, '/api/v1/cells')).body).toEqual({ a: 1 });
  expect(seen.shut).toEqual([]);
});

test.each([
  ['credential-refused', 'refused'],
  ['credential-missing', 'missing'],
] as const)('a 401 of kind %s shuts the door once, whoever asked, and nothing is asked after it', async (kind, why) => {
  const { door, seen } = server();
  const stream = door.fetch('/api/v1/live');
  [seen.isKnown, seen.kind] = [false, kind];
  const questions = ['cells', 'series', 'devices'].map((path) => ask(door.fetch, `/api/v1/${path}`));
  for (const question of questions) expect(await isOpen(question)).toBe(true);
  expect(seen.shut).toEqual([why]);
  const { asked } = seen;
  expect(await isOpen(door.fetch('/api/v1/cells'))).toBe(true);
  expect(seen.asked).toBe(asked);
  // The stream was cut off, and its reader does not take that for a failure to be tried again.
  expect(seen.aborted).toBe(1);
  expect(await isOpen(stream)).toBe(true);
});

test('leaving shuts it too', async () => {
  const { door, seen } = server();
  door.shut('left');
  expect(seen.shut).toEqual(['left']);
  expect(await isOpen(door.fetch('/api/v1/cells'))).toBe(true);
  expect(seen.asked).toBe(0);
});

test('who gives up is told so, as by `fetch` itself', async () => {
  const { door } = server();
  const work = new AbortController();
  const stream = door.fetch('/api/v1/live', { signal: work.signal });
  work.abort();
  await expect(stream).rejects.toThrow('cut off');
});
