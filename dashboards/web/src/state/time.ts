/** What time a view looks at: the open bucket, a range that ends now, or one between two moments. Pure. */

export type Time =
  | { readonly kind: 'live' }
  | { readonly kind: 'last'; readonly seconds: number }
  | { readonly kind: 'between'; readonly fromMs: number; readonly toMs: number };

export interface Range {
  readonly fromMs: number;
  readonly toMs: number;
}

export const MINUTE = 60;
export const HOUR = 3_600;
export const DAY = 86_400;

/** Ranges that can be picked, in seconds. */
export const LAST: readonly (readonly [number, string])[] = [
  [15 * MINUTE, 'Last 15 minutes'],
  [HOUR, 'Last hour'],
  [6 * HOUR, 'Last 6 hours'],
  [DAY, 'Last 24 hours'],
  [7 * DAY, 'Last 7 days'],
  [30 * DAY, 'Last 30 days'],
];

/** Periods that can be picked, in seconds; 0 leaves the choice to us. */
export const PERIODS: readonly (readonly [number, string])[] = [
  [0, 'Auto period'],
  [MINUTE, 'Per minute'],
  [HOUR, 'Per hour'],
  [DAY, 'Per day'],
];

/** A live view shows this hour where nothing else is said: long enough for a full map, short enough to change. */
const LIVE_PERIOD = HOUR;

/** The period of the values on the map: a live view shows the open bucket of it. */
export function periodOf(time: Time, wanted: number): number {
  if (wanted > 0) return wanted;
  if (time.kind === 'live') return LIVE_PERIOD;
  return periodFor(time.kind === 'last' ? time.seconds : (time.toMs - time.fromMs) / 1_000);
}

/** A period that gives a series some dozens to hundreds of buckets. */
function periodFor(seconds: number): number {
  if (seconds <= 6 * HOUR) return MINUTE;
  return seconds <= 14 * DAY ? HOUR : DAY;
}

/** Whole periods that the view covers at this moment. */
export function rangeOf(time: Time, period: number, nowMs: number): Range {
  const periodMs = period * 1_000;
  const floor = (ms: number) => Math.floor(ms / periodMs) * periodMs;
  const ceil = (ms: number) => Math.ceil(ms / periodMs) * periodMs;
  switch (time.kind) {
    case 'live':
      return { fromMs: floor(nowMs), toMs: floor(nowMs) + periodMs };
    case 'last':
      return { fromMs: floor(nowMs - time.seconds * 1_000), toMs: floor(nowMs) + periodMs };
    case 'between':
      return { fromMs: floor(time.fromMs), toMs: ceil(time.toMs) };
  }
}

const NAMES: Record<number, string> = { [MINUTE]: 'minute', [HOUR]: 'hour', [DAY]: 'day' };

/** What a range is called where it is not the one that was chosen: whole hours or days around it. */
export function periodWords(time: Time, period: number, fromMs: number, toMs: number): string {
  const name = NAMES[period];
  if (name === undefined || (time.kind === 'live' && period < DAY)) return '';
  const isAsChosen = period === MINUTE || (time.kind === 'between' && time.fromMs === fromMs && time.toMs === toMs);
  return isAsChosen ? '' : `Whole ${name}${toMs - fromMs > period * 1_000 ? 's' : ''}: `;
}

/** The series under the map: of the same range, and for a live view of what led up to it. */
export function seriesOf(time: Time, wanted: number, nowMs: number): Range & { period: number } {
  if (time.kind === 'live') {
    const period = wanted === DAY ? HOUR : MINUTE;
    const seconds = { [MINUTE]: 30 * MINUTE, [HOUR]: HOUR, [DAY]: 2 * DAY }[periodOf(time, wanted)] ?? HOUR;
    return { ...rangeOf({ kind: 'last', seconds }, period, nowMs), period };
  }
  const seconds = time.kind === 'last' ? time.seconds : (time.toMs - time.fromMs) / 1_000;
  const fitting = periodFor(seconds);
  // As asked for, unless that is one point or more than a screen has.
  const buckets = wanted > 0 ? seconds / wanted : 0;
  const period = buckets >= 2 && buckets <= 3_000 ? wanted : fitting;
  return { ...rangeOf(time, period, nowMs), period };
}

/** A range that has passed changes only by late events. */
export function isMoving(time: Time, nowMs: number): boolean {
  return time.kind !== 'between' || time.toMs > nowMs;
}

export function timeText(time: Time): string {
  switch (time.kind) {
    case 'live':
      return 'live';
    case 'last':
      return `${time.seconds}s`;
    case 'between':
      return `${new Date(time.fromMs).toISOString()}~${new Date(time.toMs).toISOString()}`;
  }
}

/** What [`timeText`] wrote, or nothing for any other text. */
export function parseTime(text: string): Time | undefined {
  if (text === 'live') return { kind: 'live' };
  const last = /^(\d{1,8})s$/.exec(text)?.[1];
  if (last && Number(last) >= MINUTE && Number(last) <= 400 * DAY) return { kind: 'last', seconds: Number(last) };
  const [from, to] = text.split('~');
  const [fromMs, toMs] = [Date.parse(from ?? ''), Date.parse(to ?? '')];
  if (fromMs >= 0 && toMs > fromMs && toMs < 4_000_000_000_000) return { kind: 'between', fromMs, toMs };
  return undefined;
}
