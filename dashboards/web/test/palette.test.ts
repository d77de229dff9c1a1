/** Colours mean the same while data changes a little, and say the truth about it. */

import { expect, test } from 'vitest';

import { colourOf, colours, domainOf, keepDomain, share, ticks } from '../src/map/palette';

test('the domain is round, and holds all but outliers', () => {
  const values = Array.from({ length: 1_000 }, (_, index) => 3 + index / 100);
  expect(domainOf(values)).toEqual({ min: 2, max: 14 });
  expect(domainOf([...values, 1e9])).toEqual({ min: 2, max: 14 });
});

test('values that are all the same have a domain around them', () => {
  const domain = domainOf([7, 7, 7]);
  expect(share(domain ?? { min: 0, max: 1 }, 7)).toBeCloseTo(0.5);
  expect(domainOf([0])).toEqual({ min: 0, max: 0.5 });
  expect(domainOf([])).toBeUndefined();
});

test('a domain is kept while values fit and fill it', () => {
  const before = { min: 0, max: 10 };
  expect(keepDomain(before, { min: 1, max: 9 })).toBe(before);
  expect(keepDomain(before, { min: 0, max: 20 })).toEqual({ min: 0, max: 20 });
  expect(keepDomain(before, { min: 1, max: 2 })).toEqual({ min: 1, max: 2 });
  expect(keepDomain(undefined, before)).toBe(before);
});

test('ticks are round, few and within', () => {
  expect(ticks({ min: 0, max: 15 })).toEqual([0, 5, 10, 15]);
  expect(ticks({ min: -0.3, max: 0.4 })).toEqual([-0.2, 0, 0.2, 0.4]);
  for (const max of [0.001, 1, 7, 99, 12_345, 1e12]) {
    const found = ticks({ min: 0, max });
    expect(found.length).toBeGreaterThanOrEqual(2);
    expect(found.length).toBeLessThanOrEqual(8);
    expect(Math.max(...found)).toBeLessThanOrEqual(max * 1.000_001);
  }
});

test('palettes rise or fall evenly in lightness, so that they can be read without colours', () => {
  const lightness = (colour: string) => {
    const [red = 0, green = 0, blue = 0] = [1, 3, 5].map(
      (at) => (Number.parseInt(colour.slice(at, at + 2), 16) / 255) ** 2.2,
    );
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  for (const name of ['viridis', 'cividis'] as const) {
    const rising = colours(name, true).map(lightness);
    expect(rising, name).toEqual(rising.toSorted((one, other) => one - other));
    expect(colours(name, false)).toEqual(colours(name, true).toReversed());
  }
});

test('a colour between two stops is between them', () => {
  expect(colourOf(['#000000', '#ffffff'], 0.5)).toBe('rgb(128, 128, 128)');
  expect(colourOf(['#000000', '#ffffff'], 1)).toBe('rgb(255, 255, 255)');
});
