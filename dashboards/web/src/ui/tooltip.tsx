/** The value of the hexagon under the pointer. */

import { count, number, unitOfAggregate } from '../format';
import { hovered, valueOf } from '../state/stage';
import { onlyTenant, view } from '../state/store';

export function Tooltip() {
  const on = hovered.value;
  const hexagon = on && valueOf(on.cell);
  if (!on || !hexagon) return null;
  const { aggregate, metric } = view.value;
  const unit = unitOfAggregate(aggregate, metric, onlyTenant.value);
  const isCount = aggregate === 'count';
  return (
    <div class="tooltip" style={{ transform: `translate(${Math.round(on.x) + 14}px, ${Math.round(on.y) + 14}px)` }}>
      <strong>{number(hexagon.value)}</strong> <span class="muted">{unit}</span>
      {!isCount && <div class="muted">{count(hexagon.count, 'event')}</div>}
    </div>
  );
}
