/** The series under the map: of what is in view, or of what is selected. */

import { computed, effect, signal } from '@preact/signals';

import type { SeriesAnswer } from '../data/answers';
import { ask, Problem, url, type Parameters, type Tagged } from '../data/api';
import { pause } from '../data/pause';
import { SETTLE_MS } from '../limits';
import { boxText } from '../map/resolution';
import { frame, gaps, shown, watched } from './hexagons';
import { door } from './session';
import { isPaused, view } from './store';
import { isMoving, seriesOf } from './time';

/** How often a series that grows is asked for. */
const SERIES_MS = 4_000;

export const series = signal<SeriesAnswer | undefined>(undefined);
export const seriesProblem = signal<string | undefined>(undefined);
export const isSeriesLoading = signal(true);

/** Whose series it is, in words. */
export const seriesOfWhat = computed(() => {
  const { selection } = view.value;
  if (!selection) return 'in view';
  return selection.kind === 'cell' ? 'of the selected hexagon' : `of ${selection.device}`;
});

/** What is asked for, but for the moment. */
const asked = computed<Parameters | undefined>(() => {
  const of = watched.value;
  const { selection } = view.value;
  if (!of || !frame.value || !view.value.isSeriesOpen) return undefined;
  const common = { tenant: of.tenant, metric: of.metric, agg: of.aggregate };
  if (selection?.kind === 'cell') return { ...common, cell: selection.cell };
  if (selection?.kind === 'device') return { ...common, tenant: selection.tenant, device: selection.device };
  return { ...common, bbox: boxText(frame.value.view), res: shown.value?.res ?? of.resolution };
});

/** Where the series that is shown can be had as a file. */
export function seriesAddress(): string | undefined {
  const parameters = asked.value;
  if (!parameters) return undefined;
  const { time, period: wanted } = view.value;
  const { fromMs, toMs, period } = seriesOf(time, wanted, Date.now());
  return url('series', { ...parameters, period, from: fromMs, to: toMs, format: 'csv' });
}

export function startSeries(): void {
  let work: AbortController | undefined;
  let before = '';
  effect(() => {
    const parameters = asked.value;
    const { time, period } = view.value;
    const paused = isPaused.value;
    const text = JSON.stringify([parameters, time, period, paused, gaps.value]);
    if (text === before) return;
    before = text;
    work?.abort();
    if (!parameters) return;
    work = new AbortController();
    isSeriesLoading.value = true;
    void follow(parameters, work.signal, paused);
  });
}

async function follow(parameters: Parameters, signal: AbortSignal, isOnce: boolean): Promise<void> {
  let last: Tagged<SeriesAnswer> | undefined;
  let lastAddress = '';
  await pause(SETTLE_MS, signal);
  while (!signal.aborted) {
    const { time, period: wanted } = view.peek();
    const { fromMs, toMs, period } = seriesOf(time, wanted, Date.now());
    const address = url('series', { ...parameters, period, from: fromMs, to: toMs });
    try {
      last = await ask<SeriesAnswer>(door.fetch, address, signal, address === lastAddress ? last : undefined);
      lastAddress = address;
      series.value = last.body;
      seriesProblem.value = undefined;
    } catch (error) {
      if (signal.aborted) return;
      seriesProblem.value = error instanceof Problem ? error.message : 'the series cannot be shown';
    }
    isSeriesLoading.value = false;
    if (isOnce || !isMoving(time, Date.now())) return;
    await pause(SERIES_MS, signal);
  }
}
