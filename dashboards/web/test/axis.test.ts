/** A series looks as large a change as it is. */

import { expect, test } from 'vitest';

import { around, isFilled } from '../src/ui/axis';

test.each(['count', 'sum', 'devices'] as const)(
  'the axis of a %s begins at zero, and the area is filled',
  (aggregate) => {
    const [low, high] = around(600, 780, aggregate);
    expect(low).toBe(0);
    expect(high).toBeGreaterThan(780);
    expect(isFilled(low)).toBe(true);
  },
);

test('an average is shown close up, and nothing is filled, so that 6.6 after 7.8 is no collapse', () => {
  const [low, high] = around(6.6, 7.8, 'avg');
  expect(low).toBeGreaterThan(6);
  expect(high).toBeLessThan(8.5);
  expect(isFilled(low)).toBe(false);
});

test('near zero the axis begins there, and never below for what is not', () => {
  expect(around(0.1, 8, 'avg')[0]).toBe(0);
  expect(around(-3, 8, 'sum')[0]).toBeLessThan(-3);
});

test('one value, no value and zero have room around them', () => {
  expect(around(5, 5, 'avg')).toEqual([4.5, 5.5]);
  expect(around(0, 0, 'count')).toEqual([0, 1]);
  expect(around(null, null, 'max')).toEqual([0, 1]);
});
