/** The whole state of a view, and its text in the address, so that a link shows what the sender saw. Pure. */

import { isValidCell } from 'h3-js';

import { AGGREGATES, type Aggregate } from '../data/answers';
import { AGGREGATE_NAMES, age, rangeInShort } from '../format';
import { LAST, PERIODS, parseTime, timeText, type Time } from './time';

export interface Camera {
  readonly lat: number;
  readonly lon: number;
  readonly zoom: number;
}

export type Selection =
  | { readonly kind: 'cell'; readonly cell: string }
  | { readonly kind: 'device'; readonly tenant: string; readonly device: string };

export const PALETTES = ['viridis', 'cividis'] as const;
export type Palette = (typeof PALETTES)[number];

export interface View {
  /** Empty for all tenants. */
  readonly tenant: string;
  /** Empty until one is known. */
  readonly metric: string;
  readonly aggregate: Aggregate;
  readonly time: Time;
  /** Seconds; 0 leaves it to us. */
  readonly period: number;
  /** None until the page has found where data is. */
  readonly camera: Camera | undefined;
  readonly selection: Selection | undefined;
  readonly palette: Palette;
  readonly isTableOpen: boolean;
  readonly isAttentionOpen: boolean;
  readonly isSeriesOpen: boolean;
}

export const DEFAULT: View = {
  tenant: '',
  metric: '',
  aggregate: 'avg',
  time: { kind: 'live' },
  period: 0,
  camera: undefined,
  selection: undefined,
  palette: 'viridis',
  isTableOpen: false,
  isAttentionOpen: false,
  isSeriesOpen: true,
};

/** The grammar of tenants and devices. */
const IDENTIFIER = /^[A-Za-z0-9._:-]{1,128}$/;
const METRIC = /^[A-Za-z_][A-Za-z0-9_.:/-]{0,127}$/;

export function isIdentifier(text: string): boolean {
  return IDENTIFIER.test(text);
}

/** What differs from the default, as a query string. */
export function toQuery(view: View): string {
  const query = new URLSearchParams();
  const put = (name: string, value: string, standard: string) => {
    if (value !== standard) query.set(name, value);
  };
  put('tenant', view.tenant, '');
  put('metric', view.metric, '');
  put('agg', view.aggregate, DEFAULT.aggregate);
  put('time', timeText(view.time), timeText(DEFAULT.time));
  put('period', String(view.period), '0');
  if (view.camera) query.set('at', cameraText(view.camera));
  if (view.selection?.kind === 'cell') query.set('cell', view.selection.cell);
  if (view.selection?.kind === 'device') query.set('device', `${view.selection.tenant}/${view.selection.device}`);
  put('palette', view.palette, DEFAULT.palette);
  put('table', view.isTableOpen ? '1' : '0', '0');
  put('attention', view.isAttentionOpen ? '1' : '0', '0');
  put('series', view.isSeriesOpen ? '1' : '0', '1');
  // Commas, slashes and colons are legal there, and a link is read by people too.
  return query.toString().replaceAll('%2C', ',').replaceAll('%2F', '/').replaceAll('%3A', ':');
}

function cameraText(camera: Camera): string {
  // A hundred-thousandth of a degree is a metre.
  return [camera.lat.toFixed(5), camera.lon.toFixed(5), camera.zoom.toFixed(2)].join(',');
}

/** Reads a query string; what is missing or makes no sense is as by default, so that an old link still opens. */
export function fromQuery(text: string): View {
  const query = new URLSearchParams(text);
  const get = (name: string) => query.get(name) ?? '';
  const among = <T extends string>(all: readonly T[], name: string, standard: T) =>
    all.find((one) => one === get(name)) ?? standard;
  const flag = (name: string, standard: boolean) => (['0', '1'].includes(get(name)) ? get(name) === '1' : standard);
  const period = Number(get('period'));
  return {
    tenant: isIdentifier(get('tenant')) ? get('tenant') : '',
    metric: METRIC.test(get('metric')) ? get('metric') : '',
    aggregate: among(AGGREGATES, 'agg', DEFAULT.aggregate),
    time: parseTime(get('time')) ?? DEFAULT.time,
    period: PERIODS.some(([seconds]) => seconds === period) ? period : 0,
    camera: readCamera(get('at')),
    selection: readSelection(get('cell'), get('device')),
    palette: among(PALETTES, 'palette', DEFAULT.palette),
    isTableOpen: flag('table', DEFAULT.isTableOpen),
    // There is room for one of the two.
    isAttentionOpen: flag('attention', DEFAULT.isAttentionOpen) && !flag('table', DEFAULT.isTableOpen),
    isSeriesOpen: flag('series', DEFAULT.isSeriesOpen),
  };
}

/** Parts of the address: what they are by default, and in words what is shown in the place of one that makes no sense. */
const PARTS: Record<string, readonly [standard: string, instead: string]> = {
  tenant: ['', 'every tenant that may be seen'],
  metric: ['', 'a metric that there is'],
  agg: [DEFAULT.aggregate, 'the average'],
  time: [timeText(DEFAULT.time), 'live'],
  period: ['0', 'the period that fits'],
  at: ['', 'where data is'],
  cell: ['', 'nothing selected'],
  device: ['', 'nothing selected'],
  palette: [DEFAULT.palette, DEFAULT.palette],
  table: ['0', 'no table'],
  attention: ['0', 'the map alone'],
  series: ['1', 'the series'],
};

/** Longer values are cut where they are told. */
const TOLD_CHARACTERS_MAX = 32;

/** What of a query string makes no sense, and what is shown instead: an old link opens, but not as if it were right. */
export function misunderstood(text: string): string {
  const parts: string[] = [];
  for (const [name, value] of new URLSearchParams(text)) {
    const [standard, instead] = PARTS[name] ?? [value];
    const alone = new URLSearchParams([[name, value]]).toString();
    if (value === '' || value === standard || toQuery(fromQuery(alone)) !== '') continue;
    const told = value.length > TOLD_CHARACTERS_MAX ? `${value.slice(0, TOLD_CHARACTERS_MAX)}…` : value;
    parts.push(`${name}=${told} (shown: ${instead})`);
  }
  return parts.length === 0 ? '' : `Not understood in the address: ${parts.join(', ')}`;
}

/** What going back in the browser undoes: what is looked at, not from where. */
export function stepOf({ tenant, metric, aggregate, time, period, selection }: View): string {
  return JSON.stringify([tenant, metric, aggregate, time, period, selection]);
}

/** What tabs and the history of the browser call a view: what it is of first, as tabs are narrow. */
export function titleOf({ metric, aggregate, selection, time }: View, nowMs: number): string {
  const of = { cell: 'Hexagon', device: selection?.kind === 'device' ? selection.device : '' };
  const measured = aggregate === 'count' || aggregate === 'devices' ? '' : ` ${metric}`;
  const what = metric === '' ? '' : `${AGGREGATE_NAMES[aggregate]}${measured}${timeWords(time, nowMs)}`;
  const found = [selection && of[selection.kind], what].filter(Boolean).join(': ');
  return found === '' ? 'Meridian' : `${found} · Meridian`;
}

function timeWords(time: Time, nowMs: number): string {
  if (time.kind === 'live') return '';
  if (time.kind === 'between') return `, ${rangeInShort(time.fromMs, time.toMs, nowMs)}`;
  const name = LAST.find(([seconds]) => seconds === time.seconds)?.[1] ?? `Last ${age(time.seconds * 1_000)}`;
  return `, ${name.toLowerCase()}`;
}

function readCamera(text: string): Camera | undefined {
  const parts = text.split(',');
  const [lat, lon, zoom] = parts.map(Number);
  if (parts.length !== 3 || parts.includes('') || lat === undefined || lon === undefined || zoom === undefined) {
    return undefined;
  }
  const isOnGlobe = Math.abs(lat) <= 90 && Math.abs(lon) <= 180 && zoom >= 0 && zoom <= 20;
  return isOnGlobe ? { lat, lon, zoom } : undefined;
}

function readSelection(cell: string, device: string): Selection | undefined {
  if (isValidCell(cell)) return { kind: 'cell', cell };
  const [tenant, name, ...rest] = device.split('/');
  if (tenant && name && rest.length === 0 && isIdentifier(tenant) && isIdentifier(name)) {
    return { kind: 'device', tenant, device: name };
  }
  return undefined;
}
