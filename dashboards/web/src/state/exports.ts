/** What of a view can be had as a file, in words and with its address. */

import { AGGREGATE_NAMES, count, rangeOfPeriods } from '../format';
import { exportAddress, shown, visible } from './hexagons';
import { trackAddress } from './details';
import { seriesAddress, seriesOfWhat } from './series';
import { now, view } from './store';

export interface Export {
  /** Tells one from another. */
  readonly key: string;
  readonly format: 'CSV' | 'GeoJSON';
  readonly file: string;
  readonly address: string;
}

export interface ExportGroup {
  /** What is in the files. */
  readonly label: string;
  readonly exports: readonly Export[];
}

/** The range that an address asks for, in UTC and without what names of files may not have. */
function rangeName(address: string): string {
  const asked = new URLSearchParams(address.split('?')[1]);
  const at = (name: string) => {
    const moment = new Date(Number(asked.get(name) ?? now.peek()));
    return `${moment.toISOString().slice(0, 16).replace(/[:-]/g, '')}Z`;
  };
  return `${at('from')}-${at('to')}`;
}

export function exportsOf(): ExportGroup[] {
  const { metric, aggregate, selection } = view.value;
  const of = shown.value;
  if (!of) return [];
  const isOfEvents = aggregate === 'count' || aggregate === 'devices';
  const what = isOfEvents ? AGGREGATE_NAMES[aggregate] : `${AGGREGATE_NAMES[aggregate]} ${metric}`;
  const name = `${metric.replaceAll('/', '-')}-${aggregate}`;
  const range = rangeOfPeriods(Date.parse(of.from), Date.parse(of.to), of.period, now.peek());
  const file = (key: string, format: Export['format'], start: string, address: string): Export => ({
    key,
    format,
    file: `${start}-${rangeName(address)}.${format.toLowerCase()}`,
    address,
  });
  const groups: ExportGroup[] = [
    {
      label: `${what} of ${count(visible.value.length, 'hexagon')} in view, ${range}`,
      exports: [
        file('csv', 'CSV', name, exportAddress('csv')),
        file('geojson', 'GeoJSON', name, exportAddress('geojson')),
      ],
    },
  ];
  const series = seriesAddress();
  if (series) {
    groups.push({
      label: `${what} over time, ${seriesOfWhat.value}`,
      exports: [file('series-csv', 'CSV', `${name}-series`, series)],
    });
  }
  if (selection?.kind === 'device') {
    const { device } = selection;
    groups.push({
      label: `Track of ${device}`,
      exports: [
        file('track-csv', 'CSV', `${device}-track`, trackAddress(selection, 'csv')),
        file('track-geojson', 'GeoJSON', `${device}-track`, trackAddress(selection, 'geojson')),
      ],
    });
  }
  return groups;
}
