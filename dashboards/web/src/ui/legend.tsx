/** What colours mean, with numbers, and whether values are final. */

import { AGGREGATE_NAMES, rangeOfPeriods, tick, unitOfAggregate } from '../format';
import { domain, finality, isLoading, palette, shown, visible } from '../state/hexagons';
import { count } from '../format';
import { share, ticks } from '../map/palette';
import { change, now, onlyTenant, outage, unheardOf, view } from '../state/store';
import { periodWords } from '../state/time';
import { PALETTES } from '../state/view';

export function Legend() {
  const { metric, aggregate } = view.value;
  const unit = unitOfAggregate(aggregate, metric, onlyTenant.value);
  const cells = visible.value;
  // There is nothing to explain yet.
  if (metric === '' || (!shown.value && (outage.value || unheardOf.value === 'tenant'))) return null;
  return (
    <section class="legend" aria-label="Legend">
      <div class="legend-head">
        <strong>
          {AGGREGATE_NAMES[aggregate]} {aggregate === 'count' || aggregate === 'devices' ? '' : metric}
        </strong>
        <span class="muted">{unit}</span>
      </div>
      {cells.length > 0 && <Ramp />}
      <p class="legend-foot muted">
        {isLoading.value ? 'Loading…' : `${count(cells.length, 'hexagon')} of resolution ${shown.value?.res ?? '–'}`}
        {shown.value?.coarsened && ', coarser as there are very many'}
      </p>
      <Finality />
    </section>
  );
}

/** Colours from low to high, with numbers. */
function Ramp() {
  const colours = palette.value;
  const next = PALETTES[(PALETTES.indexOf(view.value.palette) + 1) % PALETTES.length] ?? 'viridis';
  return (
    <>
      <button
        class="ramp"
        title={`Colours: ${view.value.palette}. Click for ${next}.`}
        aria-label={`Colours from low to high: ${view.value.palette}. Change to ${next}.`}
        onClick={() => change({ palette: next })}
      >
        <svg viewBox={`0 0 ${colours.length - 1} 1`} preserveAspectRatio="none" aria-hidden="true">
          <defs>
            <linearGradient id="ramp">
              {colours.map((colour, index) => (
                <stop key={index} offset={index / (colours.length - 1)} stop-color={colour} />
              ))}
            </linearGradient>
          </defs>
          <rect width={colours.length - 1} height="1" fill="url(#ramp)" />
        </svg>
      </button>
      <div class="ticks" aria-hidden="true">
        {written(ticks(domain.value)).map((value) => (
          <span key={value} style={{ left: `${share(domain.value, value) * 100}%` }}>
            {tick(value)}
          </span>
        ))}
      </div>
    </>
  );
}

/** As many as have room beside each other. */
function written(all: readonly number[]): readonly number[] {
  return all.length > 4 ? all.filter((_, index) => index % 2 === 0) : all;
}

/** The range that values are really of, and whether they are final: those of an open bucket still grow. */
function Finality() {
  const [of, is] = [shown.value, finality.value];
  if (!of || !is) return null;
  const [fromMs, toMs] = [Date.parse(of.from), Date.parse(of.to)];
  const words = periodWords(view.value.time, of.period, fromMs, toMs);
  const range = rangeOfPeriods(fromMs, toMs, of.period, now.value);
  return (
    <p class="finality" title={`${words}${range}. ${is.words}`}>
      <span>
        <span class="buckets">{words}</span>
        {range}
      </span>
      <span class={is.isFinal ? 'pill' : 'pill is-open'}>{is.word}</span>
    </p>
  );
}
