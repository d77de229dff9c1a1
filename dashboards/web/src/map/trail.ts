/** Draws a device and the path that it came by: faint where it is old, with arrows along it and times beside it. */

import type { ExpressionSpecification, FilterSpecification, GeoJSONSource, Map as MapLibre } from 'maplibre-gl';
import type { Feature, FeatureCollection } from 'geojson';

import type { TrackAnswer } from '../data/answers';
import { range, time } from '../format';
import type { MapColours } from './basemap';
import { lineOf, marksOf } from './track';

const EMPTY: FeatureCollection = { type: 'FeatureCollection', features: [] };
const ARROW = 'arrow';
/** Pixels of the arrow's picture, which is drawn twice as fine as it is shown. */
const ARROW_PX = 32;

export interface DeviceMark {
  tenant: string;
  device: string;
  lat: number;
  lon: number;
  /** Written beside it. */
  label?: string;
}

export function addTrail(map: MapLibre, colours: MapColours): void {
  map.addSource('device', { type: 'geojson', data: EMPTY, lineMetrics: true });
  map.addImage(ARROW, arrow(colours), { pixelRatio: 2 });
  const filter: FilterSpecification = ['==', ['geometry-type'], 'LineString'];
  const line = { type: 'line', source: 'device', filter } as const;
  const layout = { 'line-cap': 'round', 'line-join': 'round' } as const;
  map.addLayer({ ...line, id: 'track-halo', layout, paint: { 'line-color': colours.surface, 'line-width': 6 } });
  map.addLayer({ ...line, id: 'track', layout, paint: { 'line-width': 3, 'line-gradient': fading(colours) } });
  map.addLayer({
    ...line,
    id: 'track-arrows',
    type: 'symbol',
    layout: {
      'symbol-placement': 'line',
      'symbol-spacing': 72,
      'icon-image': ARROW,
      'icon-allow-overlap': true,
      'icon-ignore-placement': true,
    },
  });
}

/** What lies above everything else: the device, and the times of its path. */
export function addTrailMarks(map: MapLibre, colours: MapColours): void {
  const isMark: FilterSpecification = ['==', ['get', 'kind'], 'mark'];
  map.addLayer({
    id: 'track-marks',
    type: 'circle',
    source: 'device',
    filter: isMark,
    paint: {
      'circle-radius': 3,
      'circle-color': colours.surface,
      'circle-stroke-color': colours.accent,
      'circle-stroke-width': 2,
    },
  });
  map.addLayer({
    id: 'device',
    type: 'circle',
    source: 'device',
    filter: ['==', ['get', 'kind'], 'device'],
    paint: {
      'circle-radius': 8,
      'circle-color': colours.accent,
      'circle-stroke-color': colours.surface,
      'circle-stroke-width': 3,
    },
  });
  map.addLayer({
    id: 'track-times',
    type: 'symbol',
    source: 'device',
    filter: ['has', 'label'],
    layout: {
      'text-field': ['get', 'label'],
      'text-font': ['Inter', 'sans-serif'],
      'text-size': 12,
      'text-variable-anchor': ['left', 'right', 'bottom', 'top'],
      'text-radial-offset': 0.8,
    },
    paint: { 'text-color': colours.ink, 'text-halo-color': colours.surface, 'text-halo-width': 2 },
  });
}

export function recolourTrail(map: MapLibre, colours: MapColours): void {
  map.updateImage(ARROW, arrow(colours));
  map.setPaintProperty('track-halo', 'line-color', colours.surface);
  map.setPaintProperty('track', 'line-gradient', fading(colours));
  map.setPaintProperty('track-marks', 'circle-color', colours.surface);
  map.setPaintProperty('track-marks', 'circle-stroke-color', colours.accent);
  map.setPaintProperty('track-times', 'text-color', colours.ink);
  map.setPaintProperty('track-times', 'text-halo-color', colours.surface);
  map.setPaintProperty('device', 'circle-color', colours.accent);
  map.setPaintProperty('device', 'circle-stroke-color', colours.surface);
}

export function showTrail(map: MapLibre, device: DeviceMark | undefined, points: TrackAnswer['points']): void {
  const features: Feature[] = [];
  const path = lineOf(points);
  if (path.length > 1) {
    features.push({ type: 'Feature', properties: {}, geometry: { type: 'LineString', coordinates: path } });
  }
  const nowMs = Date.now();
  for (const { ms, untilMs, lat, lon } of marksOf(points, -new Date().getTimezoneOffset() * 60_000)) {
    const label = untilMs === undefined ? time(ms, nowMs, false) : range(ms, untilMs, nowMs);
    const properties = { kind: 'mark', label };
    features.push({ type: 'Feature', properties, geometry: { type: 'Point', coordinates: [lon, lat] } });
  }
  if (device) {
    const coordinates = [device.lon, device.lat];
    const properties = { kind: 'device', label: device.label ?? '' };
    features.push({ type: 'Feature', properties, geometry: { type: 'Point', coordinates } });
  }
  (map.getSource('device') as GeoJSONSource).setData({ type: 'FeatureCollection', features });
}

/** From faint to full, as time went on: the colour of the ground would come well before the start. */
function fading({ accent, surface }: MapColours): ExpressionSpecification {
  return ['interpolate', ['linear'], ['line-progress'], -0.4, surface, 1, accent];
}

/** An arrow to the right: the way that a line goes. */
function arrow({ accent, surface }: MapColours): ImageData {
  const context = new OffscreenCanvas(ARROW_PX, ARROW_PX).getContext('2d', { willReadFrequently: true });
  if (!context) throw new Error('a canvas of this browser can draw');
  context.beginPath();
  context.moveTo(8, 6);
  context.lineTo(26, 16);
  context.lineTo(8, 26);
  context.lineTo(13, 16);
  context.closePath();
  context.lineJoin = 'round';
  context.lineWidth = 5;
  context.strokeStyle = surface;
  context.stroke();
  context.fillStyle = accent;
  context.fill();
  return context.getImageData(0, 0, ARROW_PX, ARROW_PX);
}
