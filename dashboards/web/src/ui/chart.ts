/** Draws a series with uPlot. What is not final is hatched. */

import type uPlot from 'uplot';

import type { Aggregate, SeriesAnswer } from '../data/answers';
import { day, number, tick, whenOf } from '../format';
import { DAY } from '../state/time';
import { around, isFilled } from './axis';

export interface Chart {
  show(answer: SeriesAnswer): void;
  close(): void;
}

/** The library fails where the browser's language is no language, as in bare containers: then it is English. */
async function load(): Promise<typeof uPlot> {
  try {
    new Intl.NumberFormat(navigator.language);
  } catch {
    Object.defineProperty(navigator, 'language', { value: 'en-US', configurable: true });
  }
  await import('uplot/dist/uPlot.min.css');
  return (await import('uplot')).default;
}

export async function drawChart(element: HTMLElement): Promise<Chart> {
  const Plot = await load();
  let [finalUntil, from, to, period] = [0, 0, 1, 0];
  let aggregate: Aggregate = 'avg';
  let plot: uPlot | undefined;
  let colours = '';
  const make = (data: uPlot.AlignedData) => {
    plot?.destroy();
    plot = new Plot(
      options(
        element,
        () => finalUntil,
        () => [from, to],
        () => aggregate,
        () => period,
        // Buckets of a day are days of UTC.
        (seconds) => (period < DAY ? new Date(seconds * 1_000) : Plot.tzDate(new Date(seconds * 1_000), 'UTC')),
      ),
      data,
      element,
    );
  };
  const observer = new ResizeObserver(() => plot?.setSize(size(element)));
  observer.observe(element);
  return {
    show(answer) {
      [from, to] = [Date.parse(answer.from) / 1_000, Date.parse(answer.to) / 1_000];
      ({ agg: aggregate, period } = answer);
      const fresh = answer.freshness ? Date.parse(answer.freshness) / 1_000 : 0;
      // A bucket is final once all of it is.
      finalUntil = Math.floor(fresh / answer.period) * answer.period;
      const data = dataOf(answer);
      const now = document.documentElement.dataset['theme'] ?? '';
      if (!plot || now !== colours) make(data);
      else plot.setData(data);
      colours = now;
      element.dataset['points'] = String(answer.buckets.length);
    },
    close() {
      observer.disconnect();
      plot?.destroy();
    },
  };
}

/** Every bucket of the range, so that those without events show as gaps. */
function dataOf(answer: SeriesAnswer): uPlot.AlignedData {
  const values = new Map(
    answer.buckets.map((bucket, index) => [Date.parse(bucket) / 1_000, answer.values[index] ?? null]),
  );
  const times: number[] = [];
  for (let at = Date.parse(answer.from) / 1_000; at < Date.parse(answer.to) / 1_000; at += answer.period)
    times.push(at);
  return [times, times.map((at) => values.get(at) ?? null)];
}

function size(element: HTMLElement) {
  return { width: Math.max(64, element.clientWidth), height: Math.max(64, element.clientHeight) };
}

function options(
  element: HTMLElement,
  finalUntil: () => number,
  range: () => [number, number],
  aggregate: () => Aggregate,
  period: () => number,
  tzDate: (seconds: number) => Date,
): uPlot.Options {
  const style = getComputedStyle(document.documentElement);
  const token = (name: string) => style.getPropertyValue(name).trim();
  const area = `color-mix(in srgb, ${token('--accent')} 12%, transparent)`;
  const font = `11px ${token('--font')}`;
  const axis = { stroke: token('--muted'), font, ticks: { show: false }, grid: { stroke: token('--line'), width: 1 } };
  return {
    ...size(element),
    tzDate,
    cursor: { points: { size: 8 }, drag: { x: false, y: false } },
    legend: { show: false },
    padding: [8, 24, 0, 0],
    scales: { x: { range: () => range() }, y: { range: (_, low, high) => around(low, high, aggregate()) } },
    axes: [
      { ...axis, size: 28, space: 72, values: (_, splits) => splits.map((at) => clock(at, period())) },
      { ...axis, size: 56, space: 32, values: (_, splits) => splits.map(tick) },
    ],
    series: [
      {},
      {
        stroke: token('--accent'),
        width: 2,
        fill: (plot) => (isFilled(plot.scales['y']?.min) ? area : 'transparent'),
        points: { show: (plot) => (plot.data[0]?.length ?? 0) < 80, size: 4, fill: token('--accent') },
      },
    ],
    hooks: {
      drawClear: [(plot) => hatch(plot, finalUntil(), token('--line'))],
      setCursor: [(plot) => tell(plot, element, period())],
    },
  };
}

const MINUTES = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit' });

function clock(seconds: number, period: number): string {
  const [moment, nowMs] = [new Date(seconds * 1_000), Date.now()];
  if (period >= DAY) return seconds % DAY === 0 ? day(seconds * 1_000, nowMs, 'UTC') : '';
  const isMidnight = moment.getHours() === 0 && moment.getMinutes() === 0;
  return isMidnight ? day(seconds * 1_000, nowMs) : MINUTES.format(moment);
}

/** Hatches what is later than the freshness. */
function hatch(plot: uPlot, finalUntil: number, colour: string): void {
  const { left, top, width, height } = plot.bbox;
  const from = finalUntil > 0 ? Math.max(left, plot.valToPos(finalUntil, 'x', true)) : left;
  if (from >= left + width) return;
  const context = plot.ctx;
  context.save();
  context.beginPath();
  context.rect(from, top, left + width - from, height);
  context.clip();
  context.strokeStyle = colour;
  context.lineWidth = devicePixelRatio;
  const step = 6 * devicePixelRatio;
  context.beginPath();
  for (let x = from - height; x < left + width; x += step) {
    context.moveTo(x, top + height);
    context.lineTo(x + height, top);
  }
  context.stroke();
  context.restore();
}

/** The value under the pointer, as a title beside it. */
function tell(plot: uPlot, element: HTMLElement, period: number): void {
  const index = plot.cursor.idx;
  const at = index === null || index === undefined ? undefined : plot.data[0]?.[index];
  const value = index === null || index === undefined ? undefined : plot.data[1]?.[index];
  if (at === undefined || value === null || value === undefined) element.removeAttribute('data-value');
  else element.dataset['value'] = `${number(value)} ${whenOf(at * 1_000, period, Date.now())}`;
}
