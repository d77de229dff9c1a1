/** The hexagons in view: asks the source for what the view says, and keeps what comes. */

import { batch, computed, effect, signal, untracked } from '@preact/signals';

import type { BoundingBox, CellsAnswer } from '../data/answers';
import { url, type Parameters } from '../data/api';
import { Source, type Status, type Watched } from '../data/source';
import { ANNOUNCE_MS, RESOLUTION_MAX, STALE_MS } from '../limits';
import { centre } from '../map/geometry';
import { colours, domainOf, keepDomain, type Domain } from '../map/palette';
import { boxText, isWithin, resolutionFor } from '../map/resolution';
import { AGGREGATE_NAMES, age, count, number, time } from '../format';
import { door } from './session';
import { announcement, isPaused, isTenantOpen, now, session, theme, view } from './store';
import { isMoving, periodOf, rangeOf } from './time';

export interface Hexagon {
  readonly value: number;
  readonly count: number;
}

/** Where one looks, as the map says. */
export interface Frame {
  /** What is asked for. */
  readonly box: BoundingBox;
  /** What is seen. */
  readonly view: BoundingBox;
  readonly zoom: number;
  readonly latitude: number;
}

export const frame = signal<Frame | undefined>(undefined);
export const hexagons = signal<ReadonlyMap<string, Hexagon>>(new Map());
/** What the hexagons are of; none before the first answer. */
export const shown = signal<Omit<CellsAnswer, 'cells' | 'values' | 'counts'> | undefined>(undefined);
export const status = signal<Status>({ mode: 'loading', reason: undefined, retryAtMs: undefined });
export const domain = signal<Domain>({ min: 0, max: 1 });
/** The view has changed, and its answer is not here yet. */
export const isLoading = signal(true);

/** Since when the server does not answer what the map asks, in words for what else is shown then. */
const failingSinceMs = signal<number | undefined>(undefined);
export const notUpdated = computed(() => {
  const sinceMs = failingSinceMs.value;
  return sinceMs === undefined ? undefined : `Not updated since ${time(sinceMs, now.value)}`;
});

/** How often something may have been missed: who keeps data of their own reads it again. */
export const gaps = signal(0);

/** The finest resolution that the store has, as far as is known. */
const finest = signal(RESOLUTION_MAX);

export const watched = computed<Watched | undefined>(() => {
  const { tenant, metric, aggregate, time: of, period } = view.value;
  if (!frame.value || metric === '' || !session.value || !isTenantOpen.value) return undefined;
  const { box, zoom, latitude } = frame.value;
  const resolution = resolutionFor(zoom, latitude, finest.value);
  return { tenant, metric, aggregate, time: of, period: periodOf(of, period), resolution, box };
});

/** Hexagons whose centre is seen. */
export const visible = computed(() => {
  const box = frame.value?.view;
  if (!box) return [];
  return [...hexagons.value].filter(([cell]) => isWithin(box, ...centre(cell)));
});

export const palette = computed(() => colours(view.value.palette, theme.value === 'dark'));

/** How old the newest data is, in milliseconds. */
export const ageMs = computed(() => {
  const freshness = shown.value?.freshness;
  return freshness ? Math.max(0, now.value - Date.parse(freshness)) : undefined;
});

/** Whether values can still change, in a word and in a sentence. */
export const finality = computed(() => {
  const of = shown.value;
  if (!of) return undefined;
  const endMs = Date.parse(of.to);
  if (of.complete) {
    return { isFinal: true, word: 'final', words: 'Final: only events that come late would change it.' };
  }
  if (of.exact === false) {
    const words = 'Not final, and it may lack something: ClickHouse does not answer, and this is what the cache knows.';
    return { isFinal: false, word: 'not final, and may lack something', words };
  }
  const until = time(endMs, now.value, false);
  if (endMs > now.value) {
    return { isFinal: false, word: 'not final', words: `Not final: more may come in until ${until}.` };
  }
  const words = `Not final: it ended at ${until}, but not everything up to then is stored.`;
  return { isFinal: false, word: 'not final', words };
});

/** A view of now whose data is not of now. */
export const isStale = computed(() => {
  if (!isMoving(view.value.time, now.value)) return false;
  const isOld = ageMs.value !== undefined && ageMs.value > STALE_MS;
  return isOld || (status.value.mode === 'failing' && shown.value !== undefined);
});

/** What the map draws. */
interface Canvas {
  replace(values: ReadonlyMap<string, number>): void;
  change(values: ReadonlyMap<string, number>): void;
}

let source: Source | undefined;
/** What the colours were last fitted to. */
let look = '';

export function startHexagons(canvas: Canvas): void {
  source = new Source(
    { fetch: door.fetch, now: Date.now, random: Math.random },
    {
      snapshot: (answer, of) => batch(() => take(canvas, answer, of, false)),
      delta: (answer, of) => batch(() => take(canvas, answer, of, true)),
      gap: () => (gaps.value += 1),
      fresh: (freshness) => {
        if (shown.value && freshness) shown.value = { ...shown.value, freshness };
      },
      status: (next) => batch(() => takeStatus(next)),
      tooFine: () => {
        if (finest.value > 0) finest.value -= 1;
      },
    },
  );
  let before = '';
  effect(() => {
    const next = watched.value;
    // A new object that says the same is no new view.
    const text = JSON.stringify(next);
    if (text === before) return;
    before = text;
    if (!next) return untracked(() => batch(() => clear(canvas)));
    isLoading.value = true;
    source?.watch(next);
  });
  effect(() => {
    const paused = isPaused.value;
    untracked(() => (paused ? source?.pause() : source?.resume()));
  });
  announceNowAndThen();
}

/** Nothing may be shown of this view. */
function clear(canvas: Canvas): void {
  source?.close();
  hexagons.value = new Map();
  shown.value = undefined;
  isLoading.value = true;
  canvas.replace(new Map());
}

export function retryNow(): void {
  source?.retry();
}

function takeStatus(next: Status): void {
  status.value = next;
  if (next.mode === 'failing') failingSinceMs.value ??= Date.now();
  // To try again is no answer yet.
  else if (next.mode !== 'loading') failingSinceMs.value = undefined;
  if (next.mode === 'failing' && next.retryAtMs === undefined) isLoading.value = false;
}

function take(canvas: Canvas, answer: CellsAnswer, of: Watched, isDelta: boolean): void {
  const before = hexagons.value;
  const next = new Map(isDelta ? before : []);
  const changed = new Map<string, number>();
  answer.cells.forEach((cell, index) => {
    const value = answer.values[index];
    const events = answer.counts[index] ?? 0;
    // In a delta no events take a hexagon away.
    if (value === null || value === undefined || events === 0) {
      next.delete(cell);
      return;
    }
    next.set(cell, { value, count: events });
    const old = before.get(cell);
    if (old?.value !== value || old.count !== events) changed.set(cell, value);
  });
  const isSameView = look === lookOf(of, answer) && !isLoading.value;
  const isShrinking = [...before.keys()].some((cell) => !next.has(cell));
  hexagons.value = next;
  const { cells: _, values: __, counts: ___, ...meta } = answer;
  shown.value = meta;
  fitColours(of, answer, next);
  const values = new Map([...next].map(([cell, hexagon]) => [cell, hexagon.value]));
  if (isSameView && !isShrinking) canvas.change(changed);
  else canvas.replace(values);
  isLoading.value = false;
}

function lookOf(of: Watched, answer: CellsAnswer): string {
  return [of.tenant, of.metric, of.aggregate, of.period, of.time.kind, answer.res].join(' ');
}

function fitColours(of: Watched, answer: CellsAnswer, all: ReadonlyMap<string, Hexagon>): void {
  const fitting = domainOf([...all.values()].map((hexagon) => hexagon.value));
  const isSame = look === lookOf(of, answer);
  look = lookOf(of, answer);
  const next = keepDomain(isSame ? domain.value : undefined, fitting);
  if (next && (next.min !== domain.value.min || next.max !== domain.value.max)) domain.value = next;
}

/** One sentence about what is seen. */
export function summary(): string {
  const { aggregate, metric } = view.value;
  if (status.value.mode === 'failing') return `No new data: ${status.value.reason ?? 'the server cannot be reached'}.`;
  const cells = visible.value;
  if (cells.length === 0) return `No ${metric} data in view.`;
  const events = cells.reduce((sum, [, hexagon]) => sum + hexagon.count, 0);
  const values = cells.map(([, hexagon]) => hexagon.value);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const freshness = ageMs.value === undefined ? '' : ` Newest data is ${age(ageMs.value)} old.`;
  return (
    `${AGGREGATE_NAMES[aggregate]} of ${metric}: ${count(cells.length, 'hexagon')}, ${count(events, 'event')}, ` +
    `from ${number(low)} to ${number(high)}.${freshness}`
  );
}

function announceNowAndThen(): void {
  setInterval(() => {
    // Nothing moves while paused, and nobody wants to hear it again.
    if (!isPaused.value && !document.hidden) announcement.value = summary();
  }, ANNOUNCE_MS);
}

/** Where the same data can be had as a file. */
export function exportAddress(format: 'csv' | 'geojson'): string {
  const of = watched.value;
  if (!of || !frame.value) return '';
  const range = rangeOf(of.time, of.period, Date.now());
  const parameters: Parameters = {
    tenant: of.tenant,
    metric: of.metric,
    agg: of.aggregate,
    period: of.period,
    res: shown.value?.res ?? of.resolution,
    bbox: boxText(frame.value.view),
    from: range.fromMs,
    to: range.toMs,
    format,
  };
  return url('cells', parameters);
}
