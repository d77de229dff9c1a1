/** Joins map and state: what one does on the map changes the view, and what the view says is shown on the map. */

import { batch, computed, effect, signal, untracked } from '@preact/signals';
import { cellToLatLng, getResolution } from 'h3-js';

import type { CatalogAnswer, CellsAnswer, Device, TrackAnswer } from '../data/answers';
import { ask, Problem, url } from '../data/api';
import { backoffMs } from '../data/backoff';
import { CATALOG_MS, FIRST_VIEW_RESOLUTION, TOAST_LONG_MS } from '../limits';
import { busiest } from '../map/firstview';
import { HexagonMap } from '../map/map';
import { boxAround, boxText, hexagonPx } from '../map/resolution';
import { sentence } from '../format';
import { WORLD } from '../data/answers';
import { pause } from '../data/pause';
import { domain, frame, hexagons, isStale, palette, startHexagons } from './hexagons';
import { details, startDetails } from './details';
import { startAttention } from './attention';
import { startSeries } from './series';
import { door } from './session';
import {
  catalog,
  change,
  fill,
  hasSheets,
  isCatalogHere,
  metrics,
  now,
  say,
  session,
  startProblem,
  theme,
  travels,
  view,
} from './store';
import { HOUR, isMoving, MINUTE, periodOf, rangeOf, type Time } from './time';
import type { Selection } from './view';

/** What the pointer is on. */
export const hovered = signal<{ cell: string; x: number; y: number } | undefined>(undefined);
/** There is nothing stored at all. */
export const isEmptyStore = signal(false);

/** Metrics that show a fleet well, where nobody has chosen one. */
const PREFERRED = ['speed', 'temperature'];

let map: HexagonMap | undefined;

export function openMap(container: HTMLElement): void {
  map = new HexagonMap(container, view.value.camera, {
    moved: (camera) => {
      const here = map;
      if (!here) return;
      batch(() => {
        frame.value = { box: here.box(), view: here.view(), zoom: camera.zoom, latitude: camera.lat };
        // Where the page looks before it knows where data is, is nobody's choice.
        if (isPlaced) change({ camera });
      });
    },
    picked: (cell) => change({ selection: cell ? { kind: 'cell', cell } : undefined }),
    pickedDevice: (tenant, device) => change({ selection: { kind: 'device', tenant, device } }),
    hovered: (cell, x, y) => {
      hovered.value = cell ? { cell, x, y } : undefined;
    },
  });
  isPlaced = view.value.camera !== undefined;
  startHexagons(map);
  startSeries();
  startAttention();
  startDetails();
  effect(() => {
    map?.paint({ colours: palette.value, domain: domain.value, isStale: isStale.value });
  });
  effect(() => {
    if (theme.value) map?.restyle();
  });
  effect(() => {
    const { selection } = view.value;
    map?.select(selection?.kind === 'cell' ? selection.cell : undefined);
  });
  effect(drawDetails);
  effect(() => {
    // Also when another tenant is chosen before any metric was.
    if (isCatalogHere.value) chooseMetric();
  });
  effect(() => {
    const { camera } = view.peek();
    if (travels.value > 0 && camera) map?.moveTo(camera);
  });
  startCatalog();
}

/** Takes the map away, with everything on it. The page begins anew after that. */
export function closeMap(): void {
  map?.close();
  map = undefined;
}

/** Whether the first view has been found, or was given. */
let isPlaced = false;

function drawDetails(): void {
  const found = details.value;
  const device = found?.device;
  const isPlacedDevice = device && device.lat !== null && device.lon !== null;
  const mark = isPlacedDevice
    ? {
        tenant: device.tenant,
        device: device.device,
        lat: device.lat as number,
        lon: device.lon as number,
        // A path of the past does not end there.
        label: isMoving(view.value.time, Date.now()) ? '' : 'now',
      }
    : undefined;
  map?.showDevice(mark, found?.track?.points ?? []);
  const inCell = found?.devices?.filter((one) => one.lat !== null && one.lon !== null) ?? [];
  map?.showDevices(inCell.map((one) => ({ ...one, lat: one.lat as number, lon: one.lon as number })));
}

/** Whose metrics are asked for: who may see several tenants, and not all, has to name one. Nothing until it is known. */
const catalogAddress = computed(() => {
  const own = session.value?.tenants;
  if (own === undefined) return undefined;
  if (own === null || own.length < 2) return url('metrics-catalog');
  const { tenant } = view.value;
  return url('metrics-catalog', { tenant: own.includes(tenant) ? tenant : own[0] });
});

function startCatalog(): void {
  let work: AbortController | undefined;
  effect(() => {
    const address = catalogAddress.value;
    work?.abort();
    if (address === undefined) return;
    work = new AbortController();
    const { signal } = work;
    untracked(() => {
      isCatalogHere.value = false;
      isEmptyStore.value = false;
      void readCatalog(address, signal);
    });
  });
}

/** Reads what is measured, and again now and then; the first time it finds the first view. */
async function readCatalog(address: string, signal: AbortSignal): Promise<void> {
  for (let failures = 0; !signal.aborted;) {
    try {
      const { body } = await ask<CatalogAnswer>(door.fetch, address, signal);
      failures = 0;
      batch(() => {
        startProblem.value = undefined;
        catalog.value = body.metrics;
        isCatalogHere.value = true;
        isEmptyStore.value = body.metrics.length === 0;
      });
      if (!isPlaced && body.metrics.length > 0) await findFirstView();
    } catch (error) {
      if (signal.aborted) return;
      failures += 1;
      startProblem.value = error instanceof Problem ? error : new Problem(0, 'the page cannot start');
    }
    const pauseMs = failures > 0 ? backoffMs(failures, Math.random()) : isEmptyStore.value ? 2_000 : CATALOG_MS;
    await pause(pauseMs, signal);
  }
}

function chooseMetric(): void {
  const known = metrics.value;
  if (view.value.metric !== '' || known.length === 0) return;
  fill({ metric: PREFERRED.find((name) => known.includes(name)) ?? (known[0] as string) });
}

/** What a link selects, if anything; else where data is. */
async function findFirstView(): Promise<void> {
  const { selection } = view.value;
  if (selection?.kind === 'cell') {
    isPlaced = true;
    return goTo(selection, cellToLatLng(selection.cell));
  }
  if (selection) {
    const path = `devices/${encodeURIComponent(selection.tenant)}/${encodeURIComponent(selection.device)}`;
    // The drawer says what is wrong with it, if anything.
    const found = await ask<Device>(door.fetch, url(path)).catch(() => undefined);
    const { lat, lon } = found?.body ?? { lat: null, lon: null };
    if (lat !== null && lon !== null) {
      isPlaced = true;
      return goTo(selection, [lat, lon]);
    }
  }
  // An hour that has only begun says little about where data is.
  const { time } = view.value;
  await (time.kind === 'live' ? findData(LAST_HOUR, HOUR) : findData(time, HOUR));
}

/** Moves to where data is, or says why it does not. */
export async function fitToData(): Promise<void> {
  const { metric, time, period } = view.value;
  try {
    if (metric === '') say('Nothing has been published yet');
    else if (await findData(time, periodOf(time, period))) return;
    else if (time.kind === 'live' && (await findData(LAST_HOUR, MINUTE))) {
      say('Nothing yet since this began; here it was within the last hour', TOAST_LONG_MS);
    } else say(`There is no ${metric} anywhere in the time shown`, TOAST_LONG_MS);
  } catch (error) {
    say(error instanceof Problem ? sentence(error.message) : 'Where data is cannot be found out');
  }
}

const LAST_HOUR: Time = { kind: 'last', seconds: HOUR };

/** Moves to the place with the most events, if there is one: first roughly, then to its hexagons. */
async function findData(time: Time, period: number): Promise<boolean> {
  const { tenant, metric } = view.value;
  if (metric === '') return false;
  const { fromMs: from, toMs: to } = rangeOf(time, period, now.value);
  const common = { tenant, metric, agg: 'count', period, from, to };
  const rough = await ask<CellsAnswer>(
    door.fetch,
    url('cells', { ...common, res: FIRST_VIEW_RESOLUTION, bbox: boxText(WORLD) }),
  );
  const cells = busiest(rough.body);
  if (cells.length === 0) {
    isPlaced = true;
    return false;
  }
  const around = boxText(boxAround(cells.map(cellToLatLng), 1.5));
  const fine = await ask<CellsAnswer>(door.fetch, url('cells', { ...common, res: 7, bbox: around }));
  isPlaced = true;
  map?.fit(fine.body.cells.length > 0 ? fine.body.cells : cells, 12, margins());
  return true;
}

/** How much lies over each edge of the map, in pixels: panels, on narrow screens sheets from below and the legend. */
function covered() {
  const { isTableOpen, isAttentionOpen, selection } = view.value;
  const hasLeft = isTableOpen || isAttentionOpen;
  const box = document.querySelector('.middle')?.getBoundingClientRect();
  if (!box) return { top: 0, bottom: 0, left: 0, right: 0 };
  if (hasSheets()) {
    const hasSheet = selection !== undefined || hasLeft;
    return { top: 48, bottom: hasSheet ? box.height / 2 : 0, left: 0, right: 0 };
  }
  // Panels that are only just being opened have no size yet.
  const [left, right] = innerWidth > 1080 ? [408, 384] : [380, 336];
  return { top: 0, bottom: 0, left: hasLeft ? left : 0, right: selection ? Math.min(right, box.width / 2) : 0 };
}

/** So that nothing is fitted behind that. */
function margins() {
  const { top, bottom, left, right } = covered();
  return { top: top + 24, bottom: bottom + 24, left: left + 24, right: right + 24 };
}

/** From the middle of the map to the middle of what is left of it. */
function besidePanels(): readonly [number, number] {
  const { top, bottom, left, right } = covered();
  return [(left - right) / 2, (top - bottom) / 2];
}

/** Selects something and brings it into view. */
export function goTo(selection: Selection, place: readonly [number, number] | undefined): void {
  change({ selection });
  if (!place || !map) return;
  const [lat, lon] = place;
  const { zoom } = map.camera();
  const offset = besidePanels();
  if (selection.kind === 'device') return map.moveTo({ lat, lon, zoom: Math.max(zoom, 11) }, offset);
  // Far enough in to see the hexagon as one.
  const resolution = getResolution(selection.cell);
  let near = zoom;
  while (hexagonPx(resolution, near, lat) < 16 && near < 16) near += 0.5;
  map.moveTo({ lat, lon, zoom: near }, offset);
}

/** Shows a device with all of its path. */
export function showWhole(track: TrackAnswer | undefined, place: readonly [number, number]): void {
  const { top, bottom, left, right } = margins();
  const padding = { top: top + 24, bottom: bottom + 24, left: left + 24, right: right + 24 };
  const path = track?.points.map(({ lon, lat }) => [lon, lat] as const) ?? [];
  map?.fitPlaces([[place[1], place[0]], ...path], 14, padding);
}

export function focusMap(): void {
  map?.focus();
}

/** The value of a hexagon that is on the map. */
export function valueOf(cell: string) {
  return hexagons.value.get(cell);
}

export function copyLink(link: string): Promise<void> {
  return copyText(link, 'Link copied', 'The browser does not allow copying; the link is in its address bar');
}

/** Copies, and says how that went. */
export async function copyText(text: string, done: string, refused = 'The browser does not allow copying') {
  try {
    await navigator.clipboard.writeText(text);
    say(done);
  } catch {
    say(refused);
  }
}
