/** The hexagons in view as a table: the same data as the map, for keyboards, screen readers and those who like numbers. */

import { computed, effect, signal } from '@preact/signals';

import { AGGREGATE_NAMES, count, number, numberInColumn, place, unitOfAggregate } from '../format';
import { ROWS_SHOWN } from '../limits';
import { centre } from '../map/geometry';
import { colourOf, share } from '../map/palette';
import { domain, palette, visible, watched, type Hexagon } from '../state/hexagons';
import { goTo } from '../state/stage';
import { change, onlyTenant, view } from '../state/store';
import { Icon } from './icons';

type Column = 'place' | 'value' | 'count';
type Row = readonly [cell: string, hexagon: Hexagon];

const order = signal<{ by: Column; isRising: boolean }>({ by: 'value', isRising: false });
const limit = signal(ROWS_SHOWN);

const rows = computed(() => {
  const { by, isRising } = order.value;
  const key = ([cell, hexagon]: Row) =>
    by === 'value' ? hexagon.value : by === 'count' ? hexagon.count : -centre(cell)[0];
  const sorted = visible.value.toSorted((one, other) => key(one) - key(other) || (one[0] < other[0] ? -1 : 1));
  return isRising ? sorted : sorted.reverse();
});

// Another view starts at the top again.
effect(() => {
  if (watched.value) limit.value = ROWS_SHOWN;
});

function sortBy(by: Column): void {
  const now = order.value;
  order.value = { by, isRising: now.by === by ? !now.isRising : false };
}

export function CellTable() {
  const { metric, aggregate } = view.value;
  const unit = unitOfAggregate(aggregate, metric, onlyTenant.value);
  const all = rows.value;
  const isFractional = all.some(([, { value }]) => !Number.isInteger(value));
  return (
    <section class="panel table" aria-label="Table of hexagons in view">
      <header class="panel-head">
        <h2>{count(all.length, 'hexagon')} in view</h2>
        <button class="square" aria-label="Close the table" onClick={() => change({ isTableOpen: false })}>
          <Icon name="close" />
        </button>
      </header>
      <div class="scroll" tabIndex={-1}>
        <table>
          <thead>
            <tr>
              <Head by="place" label="Place" />
              <Head by="value" label={AGGREGATE_NAMES[aggregate]} unit={unit} />
              {aggregate !== 'count' && <Head by="count" label="Events" />}
            </tr>
          </thead>
          <tbody>
            {all.slice(0, limit.value).map(([cell, hexagon]) => (
              <CellRow
                key={cell}
                cell={cell}
                hexagon={hexagon}
                hasCount={aggregate !== 'count'}
                isFractional={isFractional}
              />
            ))}
          </tbody>
        </table>
        {all.length === 0 && <p class="muted pad">No hexagons in view.</p>}
        {all.length > limit.value && (
          <button class="plain more-rows" onClick={() => (limit.value += ROWS_SHOWN)}>
            Show {Math.min(ROWS_SHOWN, all.length - limit.value)} more
          </button>
        )}
      </div>
    </section>
  );
}

function Head({ by, label, unit }: { by: Column; label: string; unit?: string }) {
  const isBy = order.value.by === by;
  const direction = order.value.isRising ? 'ascending' : 'descending';
  return (
    <th scope="col" aria-sort={isBy ? direction : 'none'} class={by === 'place' ? '' : 'right'}>
      <button onClick={() => sortBy(by)}>
        {label} {unit && <span class="muted">{unit}</span>}
        {isBy && <Icon name={order.value.isRising ? 'up' : 'down'} />}
      </button>
    </th>
  );
}

function CellRow(properties: { cell: string; hexagon: Hexagon; hasCount: boolean; isFractional: boolean }) {
  const { cell, hexagon, hasCount, isFractional } = properties;
  const { selection } = view.value;
  const isSelected = selection?.kind === 'cell' && selection.cell === cell;
  const [latitude, longitude] = centre(cell);
  const open = () => goTo({ kind: 'cell', cell }, [latitude, longitude]);
  const move = (event: KeyboardEvent) => {
    const row = event.currentTarget as HTMLElement;
    const next = { ArrowDown: row.nextElementSibling, ArrowUp: row.previousElementSibling }[event.key];
    if (next instanceof HTMLElement) {
      event.preventDefault();
      next.focus();
    }
    if (event.key === 'Enter' || event.key === ' ') {
      event.preventDefault();
      open();
    }
  };
  return (
    <tr
      tabIndex={0}
      data-cell={cell}
      aria-selected={isSelected}
      class={isSelected ? 'is-selected' : ''}
      onClick={open}
      onKeyDown={move}
    >
      <td>
        <span class="swatch" style={{ background: colourOf(palette.value, share(domain.value, hexagon.value)) }} />
        {place(latitude, longitude)}
      </td>
      <td class="right">{isFractional ? numberInColumn(hexagon.value) : number(hexagon.value)}</td>
      {hasCount && <td class="right muted">{number(hexagon.count)}</td>}
    </tr>
  );
}
