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

/** A value in a column: digits after the point depend on its size, so that neighbours align. */
export function number(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return '–';
  const size = Math.abs(value);
  if (Number.isInteger(value) || size >= 1_000) return whole.format(value);
  if (size >= 100) return middling.format(value);
  return size >= 0.1 ? small.format(value) : short.format(value);
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
const day = new Intl.DateTimeFormat(LOCALE, { day: 'numeric', month: 'short' });

/** The time of day, with the day when it is another one than today. */
export function time(ms: number, nowMs: number, withSeconds = true): string {
  const moment = new Date(ms);
  const text = (withSeconds ? clock : minute).format(moment);
  return moment.toDateString() === new Date(nowMs).toDateString() ? text : `${day.format(moment)}, ${text}`;
}

export function place(latitude: number, longitude: number): string {
  const [north, east] = [latitude >= 0 ? 'N' : 'S', longitude >= 0 ? 'E' : 'W'];
  return `${Math.abs(latitude).toFixed(3)}° ${north}, ${Math.abs(longitude).toFixed(3)}° ${east}`;
}
