/** How long to wait after failures: doubling, bounded, and cut at random. */

import { BACKOFF_FIRST_MS, BACKOFF_MAX_MS } from '../limits';

/** `failures` in a row, at least one; `random` from 0 up to 1. Never less than half of the full pause. */
export function backoffMs(failures: number, random: number): number {
  const full = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** Math.min(failures - 1, 16));
  return Math.round(full / 2 + (full / 2) * random);
}
