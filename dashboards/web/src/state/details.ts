/** What the drawer shows: a device with its track, or a hexagon with the devices in it. */

import { effect, signal } from '@preact/signals';
import { cellToBoundary, cellToLatLng, getResolution, latLngToCell } from 'h3-js';

import type { BoundingBox, CellsAnswer, Device, DevicesAnswer, TrackAnswer } from '../data/answers';
import { ask, Problem, url, type Parameters } from '../data/api';
import { pause } from '../data/pause';
import { DEVICES_LISTED_MAX, TRACK_MS, TRACK_PAGES_MAX, TRACK_POINTS_LIGHT } from '../limits';
import { boxText } from '../map/resolution';
import type { Hexagon } from './hexagons';
import { door } from './session';
import { isPaused, session, view } from './store';
import { isMoving, periodOf, rangeOf, type Time } from './time';
import type { Selection, View } from './view';

/** How often a device that is looked at is asked for. */
const DEVICE_MS = 3_000;

export interface Details {
  readonly selection: Selection;
  readonly device: Device | undefined;
  readonly track: TrackAnswer | undefined;
  /** The value of the hexagon, whether the map shows its resolution now or not. */
  readonly hexagon: Hexagon | undefined;
  /** Devices in the hexagon. */
  readonly devices: readonly Device[] | undefined;
  readonly problem: string | undefined;
}

export const details = signal<Details | undefined>(undefined);

const NOTHING = { device: undefined, track: undefined, hexagon: undefined, devices: undefined, problem: undefined };

export function startDetails(): void {
  let work: AbortController | undefined;
  let before = '';
  effect(() => {
    const { selection, tenant, metric, aggregate, time, period } = view.value;
    const paused = isPaused.value;
    const mayAsk = session.value !== undefined;
    const text = JSON.stringify([selection, tenant, metric, aggregate, time, period, paused, mayAsk]);
    if (text === before) return;
    before = text;
    work?.abort();
    if (!selection) {
      details.value = undefined;
      return;
    }
    work = new AbortController();
    if (JSON.stringify(details.peek()?.selection) !== JSON.stringify(selection))
      details.value = { selection, ...NOTHING };
    if (!mayAsk) return;
    void follow(selection, view.peek(), paused, work.signal);
  });
}

async function follow(selection: Selection, of: View, isOnce: boolean, signal: AbortSignal): Promise<void> {
  let track: TrackAnswer | undefined;
  for (let round = 0; !signal.aborted; round += 1) {
    // A long path is read again now and then only.
    if (track && (track.points.length < TRACK_POINTS_LIGHT || round % 10 === 0)) track = undefined;
    try {
      const found =
        selection.kind === 'device'
          ? await deviceOf(selection, of.time, track, signal)
          : await cellOf(selection.cell, of, signal);
      if ('track' in found) ({ track } = found);
      if (signal.aborted) return;
      details.value = { selection, ...NOTHING, ...found };
    } catch (error) {
      if (signal.aborted) return;
      const problem = error instanceof Problem ? error.message : 'this cannot be shown';
      details.value = { ...(details.value ?? { selection, ...NOTHING }), problem };
      if (error instanceof Problem && !error.isPassing) return;
    }
    if (isOnce) return;
    await pause(DEVICE_MS, signal);
  }
}

type DeviceSelection = Selection & { readonly kind: 'device' };

function pathOf({ tenant, device }: DeviceSelection): string {
  return `devices/${encodeURIComponent(tenant)}/${encodeURIComponent(device)}`;
}

/** Of the same time as the map; a live view shows where the device came from, not only since the hour began. */
function trackRange(time: Time): Parameters {
  const nowMs = Date.now();
  const range = time.kind === 'live' ? { fromMs: nowMs - TRACK_MS, toMs: nowMs } : rangeOf(time, 60, nowMs);
  return { from: range.fromMs, to: isMoving(time, nowMs) ? undefined : range.toMs };
}

/** Where the path of a device can be had as a file. */
export function trackAddress(selection: DeviceSelection, format: 'csv' | 'geojson'): string {
  return url(`${pathOf(selection)}/track`, { ...trackRange(view.value.time), format });
}

async function deviceOf(selection: DeviceSelection, time: Time, before: TrackAnswer | undefined, signal: AbortSignal) {
  const [device, track] = await Promise.all([
    ask<Device>(door.fetch, url(pathOf(selection)), signal),
    before ?? trackOf(selection, time, signal),
  ]);
  return { device: device.body, track };
}

/** All pages of a path, as answers begin with its oldest end. */
async function trackOf(selection: DeviceSelection, time: Time, signal: AbortSignal): Promise<TrackAnswer> {
  const range = trackRange(time);
  const path = `${pathOf(selection)}/track`;
  const { body } = await ask<TrackAnswer>(door.fetch, url(path, range), signal);
  let { next } = body;
  const points = [...body.points];
  for (let pages = 1; next !== null && pages < TRACK_PAGES_MAX; pages += 1) {
    const more = await ask<TrackAnswer>(door.fetch, url(path, { ...range, cursor: next }), signal);
    points.push(...more.body.points);
    next = more.body.next;
  }
  return { ...body, points, next };
}

async function cellOf(cell: string, of: View, signal: AbortSignal) {
  const resolution = getResolution(cell);
  const address = url('devices', { tenant: of.tenant, bbox: boxText(boxOf(cell)), limit: DEVICES_LISTED_MAX });
  const [devices, hexagon] = await Promise.all([
    ask<DevicesAnswer>(door.fetch, address, signal),
    of.metric === '' ? undefined : valueOf(cell, of, signal),
  ]);
  const isIn = (device: Device) =>
    device.lat !== null && device.lon !== null && latLngToCell(device.lat, device.lon, resolution) === cell;
  return { devices: devices.body.devices.filter(isIn), hexagon };
}

/** Asks for a box that holds the centre of this hexagon and of no other. */
async function valueOf(cell: string, of: View, signal: AbortSignal): Promise<Hexagon | undefined> {
  const [latitude, longitude] = cellToLatLng(cell);
  const period = periodOf(of.time, of.period);
  const range = rangeOf(of.time, period, Date.now());
  const slack = 1e-6;
  const address = url('cells', {
    tenant: of.tenant,
    metric: of.metric,
    agg: of.aggregate,
    period,
    res: getResolution(cell),
    bbox: boxText([
      Math.max(-180, longitude - slack),
      Math.max(-90, latitude - slack),
      Math.min(180, longitude + slack),
      Math.min(90, latitude + slack),
    ]),
    from: range.fromMs,
    to: range.toMs,
  });
  const { body } = await ask<CellsAnswer>(door.fetch, address, signal);
  const at = body.cells.indexOf(cell);
  const value = body.values[at];
  return value === null || value === undefined ? undefined : { value, count: body.counts[at] ?? 0 };
}

/** The box around a hexagon. */
function boxOf(cell: string): BoundingBox {
  const corners = cellToBoundary(cell);
  const latitudes = corners.map(([latitude]) => latitude);
  const longitudes = corners.map(([, longitude]) => longitude);
  const [west, east] = [Math.min(...longitudes), Math.max(...longitudes)];
  const [south, north] = [Math.min(...latitudes), Math.max(...latitudes)];
  if (east - west <= 180) return [west, south, east, north];
  // It lies across the antimeridian.
  const western = longitudes.filter((longitude) => longitude > 0);
  const eastern = longitudes.filter((longitude) => longitude <= 0);
  return [Math.min(...western), south, Math.max(...eastern), north];
}
