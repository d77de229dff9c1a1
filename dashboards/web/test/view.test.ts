/** A link shows what its sender saw. */

import { describe, expect, test } from 'vitest';

import { DEFAULT, fromQuery, toQuery, type View } from '../src/state/view';

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
});
