/** The map: hexagons, what is selected, and where one looks. It draws what it is told, and knows nothing of servers. */

import maplibreWorker from 'maplibre-gl/dist/maplibre-gl-worker.mjs?worker&url';
import { LngLatBounds, Map as MapLibre, NavigationControl, ScaleControl, setWorkerUrl } from 'maplibre-gl';
import type { ExpressionSpecification, GeoJSONSource, MapMouseEvent } from 'maplibre-gl';
import type { FeatureCollection } from 'geojson';
import 'maplibre-gl/dist/maplibre-gl.css';

import type { BoundingBox, TrackAnswer } from '../data/answers';
import { FLASHES_MAX, FLASH_MS, HEXAGONS_KEPT } from '../limits';
import type { Camera } from '../state/view';
import { addLabels, baseStyle, loadCountries, loadLand, mapColours } from './basemap';
import { coversOf, watchCovers } from './covers';
import { degreeLabels, gridLines, gridSteps, isFree, type Box } from './degrees';
import { hexagon, outline } from './geometry';
import { edgeColour, edgeOpacity, fillOpacity } from './marks';
import type { Domain } from './palette';
import { snappedBox, wrapLongitude } from './resolution';
import { addTrail, addTrailMarks, recolourTrail, showTrail, type DeviceMark } from './trail';

setWorkerUrl(maplibreWorker);

/** Zoom at which the finer coast is worth its download. */
const COUNTRIES_ZOOM = 3.5;

/** How far from the edges degrees are written, and how much room the longest of them takes, in pixels. */
const DEGREES_PX = { edge: 6, width: 72, height: 24 };

const EMPTY: FeatureCollection = { type: 'FeatureCollection', features: [] };

/** What the map tells. */
export interface MapListener {
  moved(camera: Camera): void;
  picked(cell: string | undefined): void;
  pickedDevice(tenant: string, device: string): void;
  hovered(cell: string | undefined, x: number, y: number): void;
}

/** What is to stay free at each edge, in pixels. */
export interface Padding {
  readonly top: number;
  readonly bottom: number;
  readonly left: number;
  readonly right: number;
}

/** How hexagons are coloured. */
export interface Paint {
  colours: readonly string[];
  domain: Domain;
  /** What is shown may be out of date. */
  isStale: boolean;
}

export class HexagonMap {
  readonly #map: MapLibre;
  readonly #listener: MapListener;
  /** Values that the map has, by cell. */
  #values = new Map<string, number>();
  /** Cells whose outline the map has. */
  #drawn = new Set<string>();
  #hovered: string | undefined;
  #paint: Paint | undefined;
  #isReady = false;
  #isGone = false;
  #countries: 'none' | 'coming' | 'here' = 'none';
  /** Where the grid has been drawn, and how fine. */
  #grid: { readonly box: Box; readonly steps: string } | undefined;
  /** What was asked for before the map was ready. */
  #waiting: (() => void)[] = [];
  readonly #stopWatching: () => void;
  readonly #stillness = matchMedia('(prefers-reduced-motion: reduce)');

  constructor(container: HTMLElement, camera: Camera | undefined, listener: MapListener) {
    this.#listener = listener;
    this.#map = new MapLibre({
      container,
      style: baseStyle(mapColours()),
      center: camera ? [camera.lon, camera.lat] : [10, 25],
      zoom: camera?.zoom ?? 1.4,
      minZoom: 0.8,
      maxZoom: 17,
      attributionControl: { compact: true, customAttribution: 'Land: Natural Earth' },
      dragRotate: false,
      pitchWithRotate: false,
      touchPitch: false,
      fadeDuration: 0,
    });
    this.#map.touchZoomRotate.disableRotation();
    this.#map.keyboard.disableRotation();
    this.#map.addControl(new NavigationControl({ showCompass: false }), 'bottom-right');
    this.#map.addControl(new ScaleControl({ maxWidth: 96 }), 'bottom-right');
    this.#map.on('load', () => this.#ready());
    this.#map.on('move', () => {
      this.#follow();
      this.#writeDegrees();
    });
    this.#map.on('moveend', () => this.#rest());
    this.#map.on('click', (event) => this.#click(event));
    this.#map.on('mousemove', (event) => this.#hover(event));
    this.#map.on('mouseout', () => this.#setHovered(undefined, 0, 0));
    this.#stopWatching = watchCovers(container, () => this.#writeDegrees());
    const canvas = this.#map.getCanvas();
    canvas.setAttribute(
      'aria-label',
      'Map of hexagons. Arrow keys move it, plus and minus zoom; T opens it as a table.',
    );
  }

  camera(): Camera {
    const { lat, lng } = this.#map.getCenter();
    return { lat, lon: wrapLongitude(lng), zoom: this.#map.getZoom() };
  }

  /** The box that is asked for: what is in view, and a margin. */
  box(): BoundingBox {
    const bounds = this.#map.getBounds();
    const [west, south, east, north] = [bounds.getWest(), bounds.getSouth(), bounds.getEast(), bounds.getNorth()];
    return snappedBox(west, south, east, north, this.#map.getZoom());
  }

  /** Exactly what is in view. */
  view(): BoundingBox {
    const bounds = this.#map.getBounds();
    if (bounds.getEast() - bounds.getWest() >= 360) return [-180, bounds.getSouth(), 180, bounds.getNorth()];
    return [wrapLongitude(bounds.getWest()), bounds.getSouth(), wrapLongitude(bounds.getEast()), bounds.getNorth()];
  }

  /** Moves until a place is in the middle, or as many pixels beside it. */
  moveTo(camera: Camera, offset: readonly [number, number] = [0, 0]): void {
    const center: [number, number] = [camera.lon, camera.lat];
    this.#map.easeTo({ center, zoom: camera.zoom, offset: [...offset], duration: this.#duration() });
  }

  /** Shows all of these cells. */
  fit(cells: readonly string[], zoomMax: number, padding: Padding): void {
    this.fitPlaces(cells.flatMap(outline), zoomMax, padding);
  }

  /** Shows all of these places, given as longitude and latitude. */
  fitPlaces(places: readonly (readonly [number, number])[], zoomMax: number, padding: Padding): void {
    const [first] = places;
    if (!first) return;
    const bounds = new LngLatBounds();
    // All on one side of the antimeridian, or the map would go once around the world.
    for (const [longitude, latitude] of places) {
      bounds.extend([longitude + 360 * Math.round((first[0] - longitude) / 360), latitude]);
    }
    // Where so much lies over the map that nothing is left of it, all of it is used.
    const { clientWidth, clientHeight } = this.#map.getContainer();
    const hasRoom = padding.left + padding.right < clientWidth && padding.top + padding.bottom < clientHeight;
    this.#map.fitBounds(bounds, { padding: hasRoom ? { ...padding } : 8, maxZoom: zoomMax, duration: 0 });
  }

  focus(): void {
    this.#map.getCanvas().focus();
  }

  /** Takes it off the page, for good. */
  close(): void {
    this.#isGone = true;
    this.#isReady = false;
    this.#waiting = [];
    this.#stopWatching();
    this.#map.remove();
  }

  /** All hexagons of a view, in place of those before. */
  replace(values: ReadonlyMap<string, number>): void {
    this.#whenReady(() => {
      const gone = [...this.#values.keys()].filter((cell) => !values.has(cell));
      const missing = [...values.keys()].filter((cell) => !this.#drawn.has(cell));
      if (missing.length > this.#drawn.size || this.#drawn.size + missing.length > HEXAGONS_KEPT) {
        this.#map.removeFeatureState({ source: 'cells' });
        this.#drawn = new Set(values.keys());
        this.#values.clear();
        this.#cells().setData({ type: 'FeatureCollection', features: [...values.keys()].map(hexagon) });
      } else {
        this.#draw(missing);
        for (const cell of gone) this.#state(cell, { value: null });
        for (const cell of gone) this.#values.delete(cell);
      }
      this.#set(values);
    });
  }

  /** Hexagons that changed; they light up for a moment. */
  change(values: ReadonlyMap<string, number>): void {
    this.#whenReady(() => {
      this.#draw([...values.keys()].filter((cell) => !this.#drawn.has(cell)));
      this.#set(values);
      if (!this.#stillness.matches && values.size <= FLASHES_MAX) this.#flash([...values.keys()]);
    });
  }

  paint(paint: Paint): void {
    this.#paint = paint;
    this.#whenReady(() => this.#applyPaint());
  }

  /** The outline of what is selected. */
  select(cell: string | undefined): void {
    this.#whenReady(() => {
      const features = cell ? [hexagon(cell)] : [];
      this.#source('selected').setData({ type: 'FeatureCollection', features });
    });
  }

  /** A device, and the path that it came by. */
  showDevice(device: DeviceMark | undefined, track: TrackAnswer['points']): void {
    this.#whenReady(() => showTrail(this.#map, device, track));
  }

  /** Devices as points, to be picked. */
  showDevices(devices: readonly DeviceMark[]): void {
    this.#whenReady(() =>
      this.#source('devices').setData({
        type: 'FeatureCollection',
        features: devices.map(({ tenant, device, lat, lon }) => ({
          type: 'Feature',
          properties: { tenant, device },
          geometry: { type: 'Point', coordinates: [lon, lat] },
        })),
      }),
    );
  }

  /** Takes the colours of the page again, after they changed. */
  restyle(): void {
    this.#whenReady(() => {
      const colours = mapColours();
      const map = this.#map;
      map.setPaintProperty('water', 'background-color', colours.water);
      map.setPaintProperty('land', 'fill-color', colours.land);
      map.setPaintProperty('borders', 'line-color', colours.border);
      map.setPaintProperty('grid', 'line-color', colours.grid);
      map.setPaintProperty('degrees', 'text-color', colours.muted);
      map.setPaintProperty('degrees', 'text-halo-color', colours.land);
      map.setPaintProperty('names', 'text-color', colours.label);
      map.setPaintProperty('names', 'text-halo-color', colours.land);
      map.setPaintProperty('cells-edge', 'line-color', edgeColour(colours));
      map.setPaintProperty('selected', 'line-color', colours.accent);
      map.setPaintProperty('selected-halo', 'line-color', colours.surface);
      recolourTrail(map, colours);
      map.setPaintProperty('devices', 'circle-color', colours.ink);
      map.setPaintProperty('devices', 'circle-stroke-color', colours.surface);
    });
  }

  #ready(): void {
    const map = this.#map;
    const colours = mapColours();
    map.addSource('cells', { type: 'geojson', data: EMPTY, promoteId: 'h3', tolerance: 0, buffer: 32 });
    for (const name of ['selected', 'devices']) map.addSource(name, { type: 'geojson', data: EMPTY });
    map.addLayer({
      id: 'cells',
      type: 'fill',
      source: 'cells',
      paint: { 'fill-opacity': fillOpacity(false), 'fill-antialias': false },
    });
    map.addLayer({
      id: 'cells-edge',
      type: 'line',
      source: 'cells',
      paint: {
        'line-color': edgeColour(colours),
        'line-width': 1,
        'line-opacity': edgeOpacity(),
      },
    });
    addTrail(map, colours);
    const outlineOf = (id: string, color: string, width: number) =>
      map.addLayer({
        id,
        type: 'line',
        source: 'selected',
        layout: { 'line-join': 'round' },
        paint: { 'line-color': color, 'line-width': width },
      });
    outlineOf('selected-halo', colours.surface, 6);
    outlineOf('selected', colours.accent, 3);
    map.addLayer({
      id: 'devices',
      type: 'circle',
      source: 'devices',
      paint: {
        'circle-radius': 3.5,
        'circle-color': colours.ink,
        'circle-stroke-color': colours.surface,
        'circle-stroke-width': 1,
      },
    });
    addLabels((layer) => map.addLayer(layer), colours);
    addTrailMarks(map, colours);
    this.#isReady = true;
    void this.#loadGround();
    this.#applyPaint();
    for (const work of this.#waiting.splice(0)) work();
    this.#follow();
    this.#rest();
  }

  /** Where one looks, once that has come to rest. */
  #rest(): void {
    this.#listener.moved(this.camera());
    this.#writeDegrees();
  }

  /** They stay at the edges, whatever moves, and are not written where something lies on any part of them. */
  #writeDegrees(): void {
    if (!this.#isReady) return;
    const container = this.#map.getContainer();
    const { clientWidth, clientHeight } = container;
    const { edge, width, height } = DEGREES_PX;
    const [onEdge, first, last] = [
      this.#map.unproject([edge, edge]),
      this.#map.unproject([width, 2 * height]),
      this.#map.unproject([clientWidth - width, clientHeight - height]),
    ];
    const frame = {
      meridians: { latitude: onEdge.lat, west: first.lng, east: last.lng },
      parallels: { longitude: onEdge.lng, south: last.lat, north: first.lat },
    };
    const covers = coversOf(container);
    const features = degreeLabels(frame, this.#map.getZoom(), this.#map.getCenter().lat).filter((one) => {
      const [longitude, latitude] = one.geometry.coordinates as [number, number];
      return isFree(one, this.#map.project([longitude, latitude]), covers);
    });
    this.#source('degrees').setData({ type: 'FeatureCollection', features });
  }

  async #loadGround(): Promise<void> {
    const land = await loadLand();
    if (this.#countries !== 'here' && !this.#isGone) this.#source('land').setData(land);
  }

  /** What depends on where one looks. */
  #follow(): void {
    if (!this.#isReady) return;
    if (this.#countries === 'none' && this.#map.getZoom() >= COUNTRIES_ZOOM) {
      this.#countries = 'coming';
      // The hexagons come first.
      this.#map.once('idle', () => void this.#loadCountries());
    }
    this.#drawGrid();
  }

  /** The grid reaches as far again to each side as what is seen, so that few moves need another. */
  #drawGrid(): void {
    const [bounds, zoom, { lat }] = [this.#map.getBounds(), this.#map.getZoom(), this.#map.getCenter()];
    const [west, south, east, north] = [bounds.getWest(), bounds.getSouth(), bounds.getEast(), bounds.getNorth()];
    const steps = Object.values(gridSteps(zoom, lat)).join(' ');
    const old = this.#grid?.steps === steps ? this.#grid.box : undefined;
    if (old && old.west <= west && old.south <= south && old.east >= east && old.north >= north) return;
    const [width, height] = [east - west, north - south];
    const box = { west: west - width, south: south - height, east: east + width, north: north + height };
    this.#grid = { box, steps };
    this.#source('grid').setData(gridLines(box, zoom, lat));
  }

  async #loadCountries(): Promise<void> {
    try {
      const { land, borders, names } = await loadCountries();
      if (this.#isGone) return;
      this.#countries = 'here';
      this.#source('land').setData(land);
      this.#source('borders').setData(borders);
      this.#source('names').setData(names);
    } catch {
      // The rough coast stays; the next move tries again.
      this.#countries = 'none';
    }
  }

  #applyPaint(): void {
    if (!this.#paint || !this.#isReady) return;
    const { colours, domain, isStale } = this.#paint;
    const stops = colours.flatMap((colour, index) => [
      domain.min + ((domain.max - domain.min) * index) / (colours.length - 1),
      colour,
    ]);
    const value: ExpressionSpecification = ['coalesce', ['feature-state', 'value'], domain.min];
    const ramp = ['interpolate', ['linear'], value, ...stops] as unknown as ExpressionSpecification;
    this.#map.setPaintProperty('cells', 'fill-color', ramp);
    this.#map.setPaintProperty('cells', 'fill-opacity', fillOpacity(isStale));
  }

  #click(event: MapMouseEvent): void {
    if (!this.#isReady) return;
    const { x, y } = event.point;
    // A finger is not as exact as a pixel.
    const near: [[number, number], [number, number]] = [
      [x - 6, y - 6],
      [x + 6, y + 6],
    ];
    const [device] = this.#map.queryRenderedFeatures(near, { layers: ['devices'] });
    if (device) {
      const { tenant, device: name } = device.properties as { tenant: string; device: string };
      return this.#listener.pickedDevice(tenant, name);
    }
    this.#listener.picked(this.#cellAt(event));
  }

  #hover(event: MapMouseEvent): void {
    if (this.#isReady) this.#setHovered(this.#cellAt(event), event.point.x, event.point.y);
  }

  #cellAt(event: MapMouseEvent): string | undefined {
    const found = this.#map.queryRenderedFeatures(event.point, { layers: ['cells'] });
    return found.map((feature) => String(feature.properties['h3'])).find((cell) => this.#values.has(cell));
  }

  #setHovered(cell: string | undefined, x: number, y: number): void {
    if (cell !== this.#hovered) {
      this.#hovered = cell;
      this.#map.getCanvas().style.cursor = cell ? 'pointer' : '';
    }
    this.#listener.hovered(cell, x, y);
  }

  #draw(cells: readonly string[]): void {
    if (cells.length === 0) return;
    for (const cell of cells) this.#drawn.add(cell);
    this.#cells().updateData({ add: cells.map(hexagon) });
  }

  #set(values: ReadonlyMap<string, number>): void {
    for (const [cell, value] of values) {
      if (this.#values.get(cell) === value) continue;
      this.#values.set(cell, value);
      this.#state(cell, { value });
    }
  }

  #flash(cells: readonly string[]): void {
    for (const cell of cells) this.#state(cell, { lit: true });
    setTimeout(() => {
      if (this.#isGone) return;
      for (const cell of cells) this.#state(cell, { lit: false });
    }, FLASH_MS);
  }

  #state(cell: string, state: Record<string, unknown>): void {
    this.#map.setFeatureState({ source: 'cells', id: cell }, state);
  }

  #cells(): GeoJSONSource {
    return this.#source('cells');
  }

  #source(name: string): GeoJSONSource {
    return this.#map.getSource(name) as GeoJSONSource;
  }

  #whenReady(work: () => void): void {
    if (this.#isReady) work();
    else if (!this.#isGone) this.#waiting.push(work);
  }

  #duration(): number {
    return this.#stillness.matches ? 0 : 500;
  }
}
