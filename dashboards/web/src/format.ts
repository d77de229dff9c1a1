/** Numbers, times and places as people read them. Pure. */

import type { Aggregate } from './data/answers';

/** Units that a metric's name ends with, as is the custom. Nothing is guessed. */
const UNITS: readonly (readonly [RegExp, string])[] = [
  [/(_|^)(celsius|deg_?c)$/, '°C'],
  [/(_|^)(fahrenheit|deg_?f)$/, '°F'],
  [/(_|^)(percent|pct)$/, '%'],
  [/_mps$/, 'm/s'],
  [/_(kmh|kph)$/, 'km/h'],
  [/_ms$/, 'ms'],
  [/_(seconds|s)$/, 's'],
  [/_(metres|meters|m)$/, 'm'],
  [/_km$/, 'km'],
  [/_hpa$/i, 'hPa'],
  [/_(volts|v)$/, 'V'],
  [/_(amperes|a)$/, 'A'],
  [/_(watts|w)$/, 'W'],
  [/_kwh$/, 'kWh'],
  [/_dbm$/, 'dBm'],
  [/_ugm3$/, 'µg/m³'],
];

/** What the simulated fleet measures. */
const DEMO_UNITS: Record<string, string> = {
  speed: 'm/s',
  battery: '%',
  engine_temperature: '°C',
  pm25: 'µg/m³',
  temperature: '°C',
  humidity: '%',
};

/** The unit of a metric, or nothing where it is not known. */
export function unitOf(metric: string, tenant: string): string {
  if (tenant === 'demo' && DEMO_UNITS[metric]) return DEMO_UNITS[metric];
  return UNITS.find(([ending]) => ending.test(metric))?.[1] ?? '';
}

/** The unit of what is made of a metric's values. */
export function unitOfAggregate(aggregate: Aggregate, metric: string, tenant: string): string {
  if (aggregate === 'count') return 'events';
  if (aggregate === 'devices') return 'devices';
  return unitOf(metric, tenant);
}

export const AGGREGATE_NAMES: Record<Aggregate, string> = {
  avg: 'Average',
  count: 'Events',
  sum: 'Sum',
  min: 'Minimum',
  max: 'Maximum',
  p50: 'Median',
  p90: '90th percentile',
  p99: '99th percentile',
  devices: 'Devices',
};

const LOCALE = 'en-GB';
const whole = new Intl.NumberFormat(LOCALE, { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat(LOCALE, { maximumSignificantDigits: 4 });
const small = new Intl.NumberFormat(LOCALE, { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const middling = new Intl.NumberFormat(LOCALE, { minimumFractionDigits: 1, maximumFractionDigits: 1 });

/** A value as it stands alone, with or without a unit: four significant digits at most, and no zeros that say nothing.
 * Digits before the point are never rounded away. */
export function number(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return '–';
  return Number.isInteger(value) || Math.abs(value) >= 1_000 ? whole.format(value) : short.format(value);
}

/** A value in a column where some have fractions: digits after the point depend on its size, so that neighbours align. */
export function numberInColumn(value: number): string {
  const size = Math.abs(value);
  if (size >= 1_000) return whole.format(value);
  if (size >= 100) return middling.format(value);
  return size >= 0.1 || size === 0 ? small.format(value) : short.format(value);
}

/** A value on an axis, as short as it can be. */
export function tick(value: number): string {
  if (Math.abs(value) >= 1e6) return `${short.format(value / 1e6)} M`;
  return Math.abs(value) >= 1e4 ? `${short.format(value / 1e3)} k` : short.format(value);
}

/** A reason as a sentence. */
export function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`.replace(/\.\.$/, '.');
}

/** A distance in metres, as short as it can be. */
export function distance(metres: number): string {
  return metres < 1_000 ? `${whole.format(metres)} m` : `${short.format(Number((metres / 1_000).toPrecision(3)))} km`;
}

export function count(value: number, one: string, many = `${one}s`): string {
  return `${whole.format(value)} ${value === 1 ? one : many}`;
}

/** `2.1 s`, `4 min`, `3 h`, `2 d`. */
export function age(ms: number): string {
  const seconds = Math.max(0, ms) / 1_000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 100) return `${Math.round(seconds)} s`;
  if (seconds < 100 * 60) return `${Math.round(seconds / 60)} min`;
  if (seconds < 48 * 3_600) return `${Math.round(seconds / 3_600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}

const clock = new Intl.DateTimeFormat(LOCALE, { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const minute = new Intl.DateTimeFormat(LOCALE, { hour: '2-digit', minute: '2-digit' });

/** The day of a moment, with the year when it is another one than now; as it is here, or in UTC. */
export function day(ms: number, nowMs: number, timeZone?: 'UTC'): string {
  const isThisYear = new Date(ms).getFullYear() === new Date(nowMs).getFullYear();
  const year = isThisYear ? {} : { year: 'numeric' as const };
  return new Date(ms).toLocaleDateString(LOCALE, { day: 'numeric', month: 'short', ...year, timeZone });
}

function isSameDay(ms: number, other: number): boolean {
  return new Date(ms).toDateString() === new Date(other).toDateString();
}

/** The time of day, with the day when it is another one than today. */
export function time(ms: number, nowMs: number, withSeconds = true): string {
  const text = (withSeconds ? clock : minute).format(ms);
  return isSameDay(ms, nowMs) ? text : `${day(ms, nowMs)}, ${text}`;
}

/** From one moment to another: both days where they differ. */
export function range(fromMs: number, toMs: number, nowMs: number): string {
  if (isSameDay(fromMs, toMs)) return `${time(fromMs, nowMs, false)} – ${minute.format(toMs)}`;
  const [from, to] = [fromMs, toMs].map((ms) => `${day(ms, nowMs)}, ${minute.format(ms)}`);
  return `${from} – ${to}`;
}

/** The same where room is scarce: of several days, no more than these. */
export function rangeInShort(fromMs: number, toMs: number, nowMs: number): string {
  if (isSameDay(fromMs, toMs)) return range(fromMs, toMs, nowMs);
  const [from, to] = [day(fromMs, nowMs), day(toMs, nowMs)];
  // `20 – 22 Nov`: what both have in common once.
  const common = from.slice(from.indexOf(' '));
  return to.endsWith(common) ? `${from.slice(0, from.indexOf(' '))} – ${to}` : `${from} – ${to}`;
}

const DAY_MS = 86_400_000;

/** The range of whole periods of so many seconds, with the zone of its times: buckets of a day are days of UTC. */
export function rangeOfPeriods(fromMs: number, toMs: number, period: number, nowMs: number): string {
  if (period * 1_000 < DAY_MS) return `${range(fromMs, toMs, nowMs)} ${zone(fromMs, toMs)}`;
  const [from, to] = [fromMs, toMs - 1].map((ms) => day(ms, nowMs, 'UTC'));
  return `${from === to ? from : `${from} – ${to}`} UTC`;
}

/** When a bucket began, in words: `at 15:04`, `on 22 Nov UTC`. */
export function whenOf(ms: number, period: number, nowMs: number): string {
  return period * 1_000 < DAY_MS ? `at ${time(ms, nowMs, false)}` : `on ${day(ms, nowMs, 'UTC')} UTC`;
}

/** The zone of times between two moments, as `UTC+1`; its name where clocks are changed between them. */
export function zone(fromMs: number, toMs: number): string {
  const [minutes, atEnd] = [fromMs, toMs].map((ms) => -new Date(ms).getTimezoneOffset());
  if (minutes === undefined || minutes !== atEnd) return Intl.DateTimeFormat().resolvedOptions().timeZone;
  const [hours, rest] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60];
  if (minutes === 0) return 'UTC';
  return `UTC${minutes < 0 ? '−' : '+'}${hours}${rest === 0 ? '' : `:${String(rest).padStart(2, '0')}`}`;
}

export function place(latitude: number, longitude: number): string {
  const [north, east] = [latitude >= 0 ? 'N' : 'S', longitude >= 0 ? 'E' : 'W'];
  return `${Math.abs(latitude).toFixed(3)}° ${north}, ${Math.abs(longitude).toFixed(3)}° ${east}`;
}
