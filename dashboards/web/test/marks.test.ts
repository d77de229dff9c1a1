/** A change is seen, and is no alarm. */

import { expect, test } from 'vitest';

import { edgeColour, edgeOpacity, fillOpacity } from '../src/map/marks';

type State = Record<string, unknown>;

/** As much of the map's language as is used here. */
function evaluate(expression: unknown, state: State): unknown {
  if (!Array.isArray(expression)) return expression;
  const [name, ...rest] = expression as [string, ...unknown[]];
  const at = (index: number) => evaluate(rest[index], state);
  switch (name) {
    case 'case':
      return at(0) ? at(1) : at(2);
    case 'boolean':
      return at(0) ?? at(1);
    case '==':
      return at(0) === at(1);
    case 'feature-state':
      return state[rest[0] as string] ?? null;
    default:
      throw new Error(`this test does not know \`${name}\``);
  }
}

const COLOURS = { ink: 'ink', surface: 'surface', accent: 'accent' };
const [STILL, LIT] = [{ value: 1 }, { value: 1, lit: true }];

test('what has just changed is edged in the colour of text, never in that of alarms', () => {
  expect(evaluate(edgeColour(COLOURS), LIT)).toBe('ink');
  expect(evaluate(edgeColour(COLOURS), STILL)).toBe('surface');
  expect(JSON.stringify(edgeColour(COLOURS))).not.toContain('accent');
  expect(evaluate(edgeOpacity(), LIT)).toBeLessThan(1);
});

test('it is a little brighter, but not where what is shown may be out of date', () => {
  const opacity = (isStale: boolean, state: State) => evaluate(fillOpacity(isStale), state) as number;
  expect(opacity(false, LIT)).toBeGreaterThan(opacity(false, STILL));
  expect(opacity(true, LIT)).toBe(opacity(true, STILL));
});

test('a hexagon without a value is not seen at all', () => {
  expect(evaluate(fillOpacity(false), { lit: true })).toBe(0);
  expect(evaluate(edgeOpacity(), { lit: true })).toBe(0);
});
