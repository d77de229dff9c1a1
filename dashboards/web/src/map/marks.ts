/** How hexagons look: all of them, those that have just changed, and those that may be out of date. Pure. */

import type { ExpressionSpecification } from 'maplibre-gl';

import type { MapColours } from './basemap';

/** Outlines are of the ground's colour, and of the text's while they are lit: a change is news, and no alarm. */
export function edgeColour({ ink, surface }: Pick<MapColours, 'ink' | 'surface'>): ExpressionSpecification {
  return litOr(ink, surface);
}

export function edgeOpacity(): ExpressionSpecification {
  return shownAt(litOr(0.6, 0.35));
}

/** What has just changed is a little brighter, and what is out of date is pale. */
export function fillOpacity(isStale: boolean): ExpressionSpecification {
  return shownAt(isStale ? 0.35 : litOr(0.95, 0.8));
}

/** One thing for a hexagon that has just changed, another for all the rest. */
function litOr<T extends number | string>(lit: T, otherwise: T): ExpressionSpecification {
  return ['case', ['boolean', ['feature-state', 'lit'], false], lit, otherwise];
}

/** This opacity, for hexagons that have a value. */
function shownAt(opacity: number | ExpressionSpecification): ExpressionSpecification {
  return ['case', ['==', ['feature-state', 'value'], null], 0, opacity];
}
