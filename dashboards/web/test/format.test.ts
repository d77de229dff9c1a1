/** Numbers and times read the same wherever they stand. */

import { afterEach, expect, test, vi } from 'vitest';

import { number, numberInColumn } from '../src/format';

afterEach(() => vi.unstubAllEnvs());

/** As it reads where clocks on walls are those of a zone. */
function inZone(name: string): Promise<typeof import('../src/format')> {
  vi.stubEnv('TZ', name);
  vi.resetModules();
  return import('../src/format');
}

const at = Date.parse;
const NOW = at('2026-11-22T12:00:00Z');

test.each([
  [7, '7'],
  [37.6, '37.6'],
  [6.174, '6.174'],
  [79.40000000000001, '79.4'],
  [0.012345, '0.01235'],
  [-12.3456, '-12.35'],
  [999.96, '1,000'],
  [12_345.678, '12,346'],
  [1_234_567, '1,234,567'],
  [0, '0'],
  [null, '–'],
  [Number.NaN, '–'],
])('alone, %d has no digit that says nothing: %s', (value, text) => {
  expect(number(value)).toBe(text);
});

test('in a column of one size, all values have as many digits after the point', () => {
  expect([7, 37.6, 6.174, 0].map(numberInColumn)).toEqual(['7.00', '37.60', '6.17', '0.00']);
  expect([700, 123.45].map(numberInColumn)).toEqual(['700.0', '123.5']);
});

test('a range has its day unless that is told by its end, and the year of another year', async () => {
  const { range } = await inZone('UTC');
  expect(range(at('2026-11-22T09:00:00Z'), at('2026-11-22T10:30:00Z'), NOW)).toBe('09:00 – 10:30');
  expect(range(at('2026-11-20T09:00:00Z'), at('2026-11-20T10:30:00Z'), NOW)).toBe('20 Nov, 09:00 – 10:30');
  expect(range(at('2026-11-21T23:00:00Z'), at('2026-11-22T01:00:00Z'), NOW)).toBe('21 Nov, 23:00 – 22 Nov, 01:00');
  expect(range(at('2025-12-31T23:00:00Z'), at('2026-01-01T01:00:00Z'), NOW)).toBe('31 Dec 2025, 23:00 – 1 Jan, 01:00');
});

test('in short, a range of several days has these alone, and what they share once', async () => {
  const { rangeInShort } = await inZone('UTC');
  const short = (from: string, to: string) => rangeInShort(at(`${from}:00Z`), at(`${to}:00Z`), NOW);
  expect(short('2026-11-20T09:00', '2026-11-20T10:30')).toBe('20 Nov, 09:00 – 10:30');
  expect(short('2026-11-20T09:00', '2026-11-22T10:30')).toBe('20 – 22 Nov');
  expect(short('2026-10-30T09:00', '2026-11-02T10:30')).toBe('30 Oct – 2 Nov');
  expect(short('2025-12-30T09:00', '2026-01-02T10:30')).toBe('30 Dec 2025 – 2 Jan');
});

test.each([
  ['UTC', 'UTC'],
  ['Asia/Kolkata', 'UTC+5:30'],
  ['America/New_York', 'UTC−5'],
  ['Europe/Berlin', 'UTC+1'],
])('the zone of times in %s is %s', async (name, text) => {
  const { zone } = await inZone(name);
  expect(zone(at('2026-11-21T00:00:00Z'), NOW)).toBe(text);
});

test('where clocks are changed within a range, its zone has its name', async () => {
  const { zone } = await inZone('Europe/Berlin');
  expect(zone(at('2026-10-24T12:00:00Z'), at('2026-10-25T12:00:00Z'))).toBe('Europe/Berlin');
});

test('hours are those of the clock on the wall, and days those of UTC', async () => {
  const { rangeOfPeriods, whenOf } = await inZone('Asia/Tokyo');
  const [from, to] = [at('2026-11-21T00:00:00Z'), at('2026-11-23T00:00:00Z')];
  expect(rangeOfPeriods(from, to, 86_400, NOW)).toBe('21 Nov – 22 Nov UTC');
  expect(rangeOfPeriods(from, at('2026-11-22T00:00:00Z'), 86_400, NOW)).toBe('21 Nov UTC');
  expect(rangeOfPeriods(at('2026-11-22T01:00:00Z'), at('2026-11-22T02:00:00Z'), 3_600, NOW)).toBe(
    '10:00 – 11:00 UTC+9',
  );
  expect(whenOf(at('2026-11-22T01:00:00Z'), 60, NOW)).toBe('at 10:00');
  expect(whenOf(from, 86_400, NOW)).toBe('on 21 Nov UTC');
});
