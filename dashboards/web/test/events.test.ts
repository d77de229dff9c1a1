/** Events are the same however the network cuts them. */

import { expect, test } from 'vitest';

import { backoffMs } from '../src/data/backoff';
import { EventReader } from '../src/data/events';

const STREAM =
  ': hello\n\nevent: snapshot\nid: 7\ndata: {"a":1,\ndata: "b":2}\n\nevent: delta\r\nid: 8\r\ndata: {}\r\n\r\nid: 9\n\ndata:x\n\n';

test('a stream cut at any two places gives the same events', () => {
  const whole = new EventReader().push(STREAM);
  expect(whole).toEqual([
    { name: 'snapshot', data: '{"a":1,\n"b":2}', id: '7' },
    { name: 'delta', data: '{}', id: '8' },
    { name: 'message', data: 'x', id: '9' },
  ]);
  for (let first = 0; first <= STREAM.length; first += 1) {
    for (let second = first; second <= STREAM.length; second += 7) {
      const reader = new EventReader();
      const parts = [STREAM.slice(0, first), STREAM.slice(first, second), STREAM.slice(second)];
      expect(parts.flatMap((part) => reader.push(part))).toEqual(whole);
    }
  }
});

test('an event without an end is refused, not kept', () => {
  const reader = new EventReader();
  const piece = `data: ${'x'.repeat(1_000_000)}\n`;
  expect(() => {
    for (let pieces = 0; pieces < 20; pieces += 1) reader.push(piece);
  }).toThrow('too long');
});

test('pauses double, stay bounded, and differ from page to page', () => {
  expect([1, 2, 3].map((failures) => backoffMs(failures, 1))).toEqual([500, 1_000, 2_000]);
  expect(backoffMs(1_000, 1)).toBe(30_000);
  expect(backoffMs(3, 0)).toBe(1_000);
});
