/** Times become whole periods, and the period fits the range. */

import { expect, test } from 'vitest';

import { DAY, HOUR, isMoving, MINUTE, periodOf, rangeOf, seriesOf, type Time } from '../src/state/time';

const now = Date.parse('2026-11-22T05:43:21.500Z');
const iso = (ms: number) => new Date(ms).toISOString().slice(0, 19);

test('a live view is the open bucket', () => {
  const { fromMs, toMs } = rangeOf({ kind: 'live' }, HOUR, now);
  expect([iso(fromMs), iso(toMs)]).toEqual(['2026-11-22T05:00:00', '2026-11-22T06:00:00']);
});

test('a range that ends now holds the open bucket and all it asks for', () => {
  const { fromMs, toMs } = rangeOf({ kind: 'last', seconds: 15 * MINUTE }, MINUTE, now);
  expect([iso(fromMs), iso(toMs)]).toEqual(['2026-11-22T05:28:00', '2026-11-22T05:44:00']);
});

test('a range between two moments is widened to whole periods', () => {
  const time: Time = { kind: 'between', fromMs: now - HOUR * 1_000, toMs: now };
  const { fromMs, toMs } = rangeOf(time, HOUR, now);
  expect([iso(fromMs), iso(toMs)]).toEqual(['2026-11-22T04:00:00', '2026-11-22T06:00:00']);
  expect([isMoving(time, now), isMoving(time, now - 1)]).toEqual([false, true]);
});

test.each([
  [{ kind: 'live' }, 0, HOUR],
  [{ kind: 'live' }, MINUTE, MINUTE],
  [{ kind: 'last', seconds: 15 * MINUTE }, 0, MINUTE],
  [{ kind: 'last', seconds: 7 * DAY }, 0, HOUR],
  [{ kind: 'last', seconds: 30 * DAY }, 0, DAY],
] as [Time, number, number][])('the period of %j, %i wanted, is %i', (time, wanted, expected) => {
  expect(periodOf(time, wanted)).toBe(expected);
});

test('a series has neither one point nor thousands', () => {
  const times: Time[] = [
    { kind: 'live' },
    ...[900, HOUR, DAY, 30 * DAY].map((seconds) => ({ kind: 'last', seconds }) as const),
  ];
  for (const time of times) {
    for (const wanted of [0, MINUTE, HOUR, DAY]) {
      const { fromMs, toMs, period } = seriesOf(time, wanted, now);
      const buckets = (toMs - fromMs) / 1_000 / period;
      expect(buckets, `${JSON.stringify(time)} ${wanted}`).toBeGreaterThanOrEqual(2);
      expect(buckets, `${JSON.stringify(time)} ${wanted}`).toBeLessThanOrEqual(3_000);
    }
  }
});
