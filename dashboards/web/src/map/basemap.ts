/** The base map: land, borders, names of countries and a grid of degrees, all from files of this page. No tile server is
 * ever asked. */

import { feature, mesh } from 'topojson-client';
import type { GeometryCollection, Topology } from 'topojson-specification';
import type { Feature, FeatureCollection, MultiLineString } from 'geojson';
import type { LayerSpecification, StyleSpecification } from 'maplibre-gl';
import landUrl from 'world-atlas/land-110m.json?url';
import countriesUrl from 'world-atlas/countries-50m.json?url';

import { LABEL_PX } from './degrees';
import { flatLand, unwrap } from './flat';
import { centre as centreOf } from './labels';

/** Colours of the base map, from the tokens of the page. */
export interface MapColours {
  water: string;
  land: string;
  border: string;
  grid: string;
  label: string;
  muted: string;
  accent: string;
  ink: string;
  surface: string;
}

export function mapColours(): MapColours {
  const style = getComputedStyle(document.documentElement);
  const token = (name: string) => style.getPropertyValue(name).trim();
  return {
    water: token('--map-water'),
    land: token('--map-land'),
    border: token('--map-border'),
    grid: token('--map-grid'),
    label: token('--map-label'),
    muted: token('--muted'),
    accent: token('--accent'),
    ink: token('--ink'),
    surface: token('--surface'),
  };
}

const EMPTY: FeatureCollection = { type: 'FeatureCollection', features: [] };

/** Sources and layers of the ground; what lies on it comes later. */
export function baseStyle(colours: MapColours): StyleSpecification {
  const geojson = (data: FeatureCollection) => ({ type: 'geojson' as const, data });
  return {
    version: 8,
    sources: {
      land: { ...geojson(EMPTY), tolerance: 0.2 },
      borders: { ...geojson(EMPTY), tolerance: 0.2 },
      names: geojson(EMPTY),
      grid: geojson(EMPTY),
      degrees: geojson(EMPTY),
    },
    layers: [
      { id: 'water', type: 'background', paint: { 'background-color': colours.water } },
      { id: 'land', type: 'fill', source: 'land', paint: { 'fill-color': colours.land } },
      { id: 'grid', type: 'line', source: 'grid', paint: { 'line-color': colours.grid, 'line-width': 1 } },
      {
        id: 'borders',
        type: 'line',
        source: 'borders',
        paint: { 'line-color': colours.border, 'line-width': ['interpolate', ['linear'], ['zoom'], 2, 0.5, 8, 1.5] },
      },
    ],
  };
}

/** Degrees at the edges, where there are no names to find one's way by. */
const DEGREES = {
  id: 'degrees',
  type: 'symbol',
  source: 'degrees',
  minzoom: 6,
  layout: {
    'text-field': ['get', 'label'],
    'text-font': ['Inter', 'sans-serif'],
    'text-size': LABEL_PX.text,
    // Beside their line, which would else go right through the point of 13.4.
    'text-anchor': ['case', ['==', ['get', 'side'], 'meridian'], 'top-left', 'bottom-left'],
    'text-offset': [
      'case',
      ['==', ['get', 'side'], 'meridian'],
      ['literal', [LABEL_PX.beside / LABEL_PX.text, 0]],
      ['literal', [0, -LABEL_PX.above / LABEL_PX.text]],
    ],
    'text-padding': 8,
  },
} as const;

/** Names and degrees lie above the hexagons, so that they can be read wherever data is. */
export function addLabels(add: (layer: LayerSpecification) => void, colours: MapColours) {
  const text = { 'text-color': colours.label, 'text-halo-color': colours.land, 'text-halo-width': 1.5 };
  // Read against hexagons of any colour as well.
  const readable = { ...text, 'text-color': colours.muted, 'text-halo-width': 2.5 };
  add({ ...DEGREES, paint: readable } as unknown as LayerSpecification);
  add({
    id: 'names',
    type: 'symbol',
    source: 'names',
    minzoom: 2.2,
    maxzoom: 8.5,
    layout: {
      'text-field': ['get', 'name'],
      'text-font': ['Inter', 'sans-serif'],
      'text-size': ['interpolate', ['linear'], ['zoom'], 2, 10, 7, 14],
      'text-letter-spacing': 0.06,
      'text-max-width': 7,
      'symbol-sort-key': ['get', 'rank'],
    },
    paint: text,
  });
}

/** The rough coast, small enough to come with the page. */
export async function loadLand(): Promise<Feature | FeatureCollection> {
  const topology = (await (await fetch(landUrl)).json()) as Topology<{ land: GeometryCollection }>;
  return flatLand(feature(topology, topology.objects.land));
}

export interface Countries {
  land: Feature | FeatureCollection;
  borders: Feature<MultiLineString>;
  names: FeatureCollection;
}

/** The finer coast with borders and names, once somebody is close enough to see it. */
export async function loadCountries(): Promise<Countries> {
  type Objects = { countries: GeometryCollection<{ name: string }>; land: GeometryCollection };
  const topology = (await (await fetch(countriesUrl)).json()) as Topology<Objects>;
  const { countries, land } = topology.objects;
  const borders = mesh(topology, countries as never, (one, other) => one !== other);
  return {
    land: flatLand(feature(topology, land)),
    borders: {
      type: 'Feature',
      properties: {},
      geometry: { ...borders, coordinates: borders.coordinates.map(unwrap) },
    },
    names: { type: 'FeatureCollection', features: feature(topology, countries).features.flatMap(centreOf) },
  };
}
