/** Finds a first view: the place with the most events, and hexagons around it. Pure. */

import { gridDisk } from 'h3-js';

import type { CellsAnswer } from '../data/answers';

/** The cells of the busiest cluster: neighbours, and neighbours of those. */
export function busiest(answer: Pick<CellsAnswer, 'cells' | 'counts'>): string[] {
  const counts = new Map(answer.cells.map((cell, index) => [cell, answer.counts[index] ?? 0]));
  let best: { cells: string[]; events: number } = { cells: [], events: 0 };
  const seen = new Set<string>();
  for (const start of counts.keys()) {
    if (seen.has(start)) continue;
    seen.add(start);
    const cluster = [start];
    let events = 0;
    // Grows while it is walked.
    for (const cell of cluster) {
      events += counts.get(cell) ?? 0;
      for (const near of gridDisk(cell, 1)) {
        if (counts.has(near) && !seen.has(near)) {
          seen.add(near);
          cluster.push(near);
        }
      }
    }
    if (events > best.events) best = { cells: cluster, events };
  }
  return best.cells;
}
