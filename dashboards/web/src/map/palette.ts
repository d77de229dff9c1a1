/** Colours for values: palettes that colour-blind people can read, and the range of values that they span. Pure. */

import type { Palette } from '../state/view';

/** Nine even steps of each palette, from low to high. */
const STOPS: Record<Palette, readonly string[]> = {
  viridis: ['#440154', '#472d7b', '#3b528b', '#2c728e', '#21918c', '#28ae80', '#5ec962', '#addc30', '#fde725'],
  cividis: ['#00224e', '#1f3867', '#434e6c', '#62646f', '#7d7c78', '#9a9571', '#bbaf60', '#dfcc43', '#fee838'],
};

/** Colours from low to high. High values stand out from the ground: bright on dark, dark on light. */
export function colours(palette: Palette, isDark: boolean): readonly string[] {
  const stops = STOPS[palette];
  return isDark ? stops : stops.toReversed();
}

/** The range of values that the palette spans. */
export interface Domain {
  readonly min: number;
  readonly max: number;
}

/** From the 2nd to the 98th percentile, so that a single outlier does not take all colours, widened to round numbers.
 * Nothing without values. */
export function domainOf(values: readonly number[]): Domain | undefined {
  if (values.length === 0) return undefined;
  const sorted = Float64Array.from(values).sort();
  const at = (share: number) => sorted[Math.round(share * (sorted.length - 1))] as number;
  return roundDomain(at(0.02), at(0.98));
}

/** The domain to use after values changed: the one before, while it still fits, so that colours keep their meaning. */
export function keepDomain(before: Domain | undefined, now: Domain | undefined): Domain | undefined {
  if (!before || !now) return now;
  const [wide, needed] = [before.max - before.min, now.max - now.min];
  const isInside = now.min >= before.min - wide * 0.02 && now.max <= before.max + wide * 0.02;
  return isInside && needed >= wide * 0.4 ? before : now;
}

function roundDomain(low: number, high: number): Domain {
  if (low === high) {
    const margin = Math.max(Math.abs(low) * 0.1, 0.5);
    return { min: low >= 0 ? Math.max(0, low - margin) : low - margin, max: high + margin };
  }
  const step = niceStep((high - low) / 4);
  return { min: tidy(Math.floor(low / step) * step), max: tidy(Math.ceil(high / step) * step) };
}

/** 1, 2 or 5 times a power of ten, not less than half of the given. */
function niceStep(raw: number): number {
  const power = 10 ** Math.floor(Math.log10(raw));
  const share = raw / power;
  return (share < 1.5 ? 1 : share < 3.5 ? 2 : share < 7.5 ? 5 : 10) * power;
}

/** Without the dust that adding floating-point numbers leaves. */
function tidy(value: number): number {
  return Number(value.toPrecision(12));
}

/** Where the legend writes numbers: at most six, round, within the domain. */
export function ticks(domain: Domain): number[] {
  const step = niceStep((domain.max - domain.min) / 4);
  const found: number[] = [];
  for (let tick = Math.ceil(domain.min / step - 1e-9) * step; tick <= domain.max + step * 1e-9; tick += step) {
    found.push(tidy(tick));
  }
  return found;
}

/** 0 to 1 within the domain. */
export function share(domain: Domain, value: number): number {
  return Math.max(0, Math.min(1, (value - domain.min) / (domain.max - domain.min)));
}

/** The colour of a value as MapLibre interpolates it, for marks outside of the map. */
export function colourOf(stops: readonly string[], position: number): string {
  const place = position * (stops.length - 1);
  const lower = Math.min(Math.floor(place), stops.length - 2);
  const [from, to] = [channels(stops[lower] as string), channels(stops[lower + 1] as string)];
  const mixed = from.map((channel, index) => Math.round(channel + ((to[index] as number) - channel) * (place - lower)));
  return `rgb(${mixed.join(', ')})`;
}

function channels(colour: string): number[] {
  return [1, 3, 5].map((start) => Number.parseInt(colour.slice(start, start + 2), 16));
}
