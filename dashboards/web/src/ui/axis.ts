/** The axis of values of the series: where it begins, and whether the area down to it means anything. Pure. */

import type { Aggregate } from '../data/answers';

/** How much there is of something: less of it is a lower column, so these begin at zero. */
const AMOUNTS: readonly Aggregate[] = ['count', 'sum', 'devices'];

/** Room above and below, also where all values are the same; zero stays the floor of what is never below it. */
export function around(low: number | null, high: number | null, aggregate: Aggregate): [number, number] {
  if (low === null || high === null) return [0, 1];
  const isAmount = AMOUNTS.includes(aggregate) && low >= 0;
  const margin = (high - (isAmount ? 0 : low)) * 0.12 || Math.abs(high) * 0.1 || 1;
  if (isAmount) return [0, high + margin];
  return [low >= 0 ? Math.max(0, low - margin) : low - margin, high + margin];
}

/** An area that ends anywhere but at zero would make a small change look like a collapse. */
export function isFilled(axisMin: number | undefined): boolean {
  return axisMin === 0;
}
