/** A link shows what its sender saw. */

import { describe, expect, test } from 'vitest';

import { DEFAULT, fromQuery, misunderstood, titleOf, toQuery, type View } from '../src/state/view';

const full: View = {
  tenant: 'acme',
  metric: 'engine/temperature',
  aggregate: 'p90',
  time: { kind: 'between', fromMs: 1_700_000_000_000, toMs: 1_700_003_600_000 },
  period: 3_600,
  camera: { lat: 52.52, lon: 13.405, zoom: 10.5 },
  selection: { kind: 'device', tenant: 'acme', device: 'bus:7.a_b-c' },
  palette: 'cividis',
  isTableOpen: true,
  isAttentionOpen: false,
  isSeriesOpen: false,
};

describe('the address', () => {
  test('keeps every part of a view', () => {
    expect(fromQuery(toQuery(full))).toEqual(full);
    const cell: View = {
      ...full,
      selection: { kind: 'cell', cell: '871f18b24ffffff' },
      time: { kind: 'last', seconds: 900 },
    };
    expect(fromQuery(toQuery(cell))).toEqual(cell);
  });

  test('is empty for the default view', () => {
    expect(toQuery(DEFAULT)).toBe('');
    expect(fromQuery('')).toEqual(DEFAULT);
  });

  test('can be read by people', () => {
    expect(toQuery({ ...DEFAULT, metric: 'speed', camera: { lat: 1, lon: -2, zoom: 3 } })).toBe(
      'metric=speed&at=1.00000,-2.00000,3.00',
    );
  });

  test.each([
    ['tenant=<script>alert(1)</script>&metric=%00&agg=mean&period=7&at=91,0,1&device=a/b/c'],
    ['at=1,,3&cell=zzz&time=99999999999s&palette=rainbow&tenant=a%2Fb&device=a/<b>'],
    ['time=2026-01-02T00:00:00Z~2026-01-01T00:00:00Z&at=NaN,0,1&at=1,2,3'],
  ])('makes nothing of nonsense: %s', (query) => {
    expect(fromQuery(query)).toEqual(DEFAULT);
  });

  test.each([
    ['agg=mean', 'agg=mean (shown: the average)'],
    ['metric=speed&period=abc', 'period=abc (shown: the period that fits)'],
    ['table=yes&series=no', 'table=yes (shown: no table), series=no (shown: the series)'],
    ['attention=true', 'attention=true (shown: the map alone)'],
    [`cell=${'z'.repeat(40)}`, `cell=${'z'.repeat(32)}… (shown: nothing selected)`],
  ])('says what of it cannot be read, and what is shown instead: %s', (query, told) => {
    expect(misunderstood(query)).toBe(`Not understood in the address: ${told}`);
  });

  test('is not complained of for what others put into it, nor for what is as by default', () => {
    expect(misunderstood('utm_source=mail&table=0&series=1&agg=avg&metric=')).toBe('');
    expect(misunderstood(toQuery(full))).toBe('');
  });
});

describe('the title', () => {
  const now = Date.parse('2026-11-22T12:00:00');
  const speed: View = { ...DEFAULT, metric: 'speed' };
  const days = { kind: 'between', fromMs: now - 2 * 86_400_000, toMs: now } as const;

  test.each<[string, View, string]>([
    ['nothing yet', DEFAULT, 'Meridian'],
    ['a live map', speed, 'Average speed · Meridian'],
    ['numbers of events', { ...speed, aggregate: 'count' }, 'Events · Meridian'],
    ['the last hour', { ...speed, time: { kind: 'last', seconds: 3_600 } }, 'Average speed, last hour · Meridian'],
    [
      'a time of their own',
      { ...speed, time: { kind: 'last', seconds: 1_200 } },
      'Average speed, last 20 min · Meridian',
    ],
    ['some days', { ...speed, time: days }, 'Average speed, 20 – 22 Nov · Meridian'],
    [
      'a device',
      { ...speed, selection: { kind: 'device', tenant: 'acme', device: 'bus-7' } },
      'bus-7: Average speed · Meridian',
    ],
    [
      'a hexagon',
      { ...speed, selection: { kind: 'cell', cell: '871f18b24ffffff' } },
      'Hexagon: Average speed · Meridian',
    ],
  ])('of %s says what it is of', (_, view, title) => {
    expect(titleOf(view, now)).toBe(title);
  });
});
