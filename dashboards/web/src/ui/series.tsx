/** The series under the map, docked, to be folded away. */

import { useEffect, useRef } from 'preact/hooks';
import { effect } from '@preact/signals';

import { AGGREGATE_NAMES, number, sentence, unitOfAggregate, whenOf } from '../format';
import { notUpdated } from '../state/hexagons';
import { isEmptyStore } from '../state/stage';
import { isSeriesLoading, series, seriesOfWhat, seriesProblem } from '../state/series';
import { change, now, onlyTenant, outage, theme, unheardOf, view } from '../state/store';
import { PERIODS } from '../state/time';
import { drawChart, type Chart } from './chart';
import { Icon } from './icons';

export function SeriesPanel() {
  const { isSeriesOpen, metric, aggregate, period } = view.value;
  const answer = series.value;
  const what = aggregate === 'count' || aggregate === 'devices' ? '' : metric;
  return (
    <section class={isSeriesOpen ? 'series is-open' : 'series'} aria-label="Time series">
      <header>
        <button
          class="fold"
          aria-expanded={isSeriesOpen}
          aria-controls="chart"
          onClick={() => change({ isSeriesOpen: !isSeriesOpen })}
        >
          <Icon name={isSeriesOpen ? 'down' : 'up'} />
          <strong>
            {AGGREGATE_NAMES[aggregate]} {what}
          </strong>
          <span class="muted">
            {per(answer?.period, period)} {seriesOfWhat.value}
          </span>
        </button>
        {isSeriesOpen && <Newest />}
      </header>
      {isSeriesOpen && <ChartBox />}
    </section>
  );
}

/** How long its buckets are: not always as chosen, where that would be one or thousands of them. */
function per(period: number | undefined, wanted: number): string {
  const name = (of: number) => PERIODS.find(([seconds]) => seconds === of)?.[1].toLowerCase() ?? '';
  if (period === undefined) return '';
  return wanted === 0 || wanted === period ? name(period) : `${name(period)}, not ${name(wanted)}`;
}

/** The last value, in words and large: what one looks for first. */
function Newest() {
  const answer = series.value;
  const last = (answer?.buckets.length ?? 0) - 1;
  const bucket = answer?.buckets[last];
  if (!answer || bucket === undefined) return null;
  const { aggregate, metric } = view.value;
  const endMs = Date.parse(bucket) + answer.period * 1_000;
  const isOpen = !answer.freshness || endMs > Date.parse(answer.freshness);
  return (
    <p class="newest">
      <strong>{number(answer.values[last])}</strong>{' '}
      <span class="muted">{unitOfAggregate(aggregate, metric, onlyTenant.value)}</span>{' '}
      <span class="muted when">
        {whenOf(Date.parse(bucket), answer.period, now.value)}
        {isOpen ? ', not final' : ''}
      </span>
    </p>
  );
}

/** Why there is no series yet. */
function waiting(): string {
  if (outage.value) return `${outage.value.title}.`;
  if (isEmptyStore.value) return 'Nothing has been published yet.';
  return unheardOf.value === 'tenant' ? 'Nothing to show of this tenant.' : 'Loading…';
}

function ChartBox() {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const element = box.current;
    if (!element) return undefined;
    let chart: Chart | undefined;
    let isGone = false;
    let stop: (() => void) | undefined;
    void drawChart(element).then((made) => {
      if (isGone) return made.close();
      chart = made;
      stop = effect(() => {
        const answer = series.value;
        // The chart takes its colours from the page.
        if (theme.value && answer) made.show(answer);
      });
      return undefined;
    });
    return () => {
      isGone = true;
      stop?.();
      chart?.close();
    };
  }, []);
  const answer = series.value;
  // While the map says why, once is enough.
  const old = seriesProblem.value && notUpdated.value;
  return (
    <div class={old ? 'chart is-old' : 'chart'} id="chart">
      <div class="chart-box" ref={box} />
      {seriesProblem.value && (
        <p class="chart-note" role={old ? undefined : 'alert'}>
          {sentence(old ?? seriesProblem.value)}
        </p>
      )}
      {!seriesProblem.value && !answer && isSeriesLoading.value && <p class="chart-note muted">{waiting()}</p>}
      {!seriesProblem.value && answer?.buckets.length === 0 && <p class="chart-note muted">Nothing in this time.</p>}
    </div>
  );
}
