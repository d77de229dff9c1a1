/** What is selected, in a drawer from the right: a hexagon with the devices in it, or a device with its last values. */

import { computed } from '@preact/signals';

import type { Device, TrackAnswer } from '../data/answers';
import {
  age,
  AGGREGATE_NAMES,
  count,
  distance,
  number,
  sentence,
  place,
  time,
  unitOf,
  unitOfAggregate,
} from '../format';
import { centre } from '../map/geometry';
import { details, type Details } from '../state/details';
import { lengthMetres } from '../map/track';
import { STALE_MS } from '../limits';
import { finality, notUpdated } from '../state/hexagons';
import { isMoving } from '../state/time';
import { copyLink, goTo, showWhole, valueOf } from '../state/stage';
import { change, now, onlyTenant, outage, permalink, view } from '../state/store';
import { Icon } from './icons';

export function Drawer() {
  const { selection } = view.value;
  if (!selection) return null;
  const title = selection.kind === 'device' ? selection.device : 'Hexagon';
  const kind = selection.kind === 'device' ? `Device of ${selection.tenant}` : selection.cell;
  const here = details.value;
  // While the map says why, once is enough.
  const problem = here?.problem && (notUpdated.value ?? here.problem);
  const found = here && { ...here, problem: problem ?? outage.value?.title };
  return (
    <aside class="panel drawer" aria-label={`${title}: ${kind}`}>
      <header class="panel-head">
        <div>
          <h2>{title}</h2>
          <p class="muted small">{kind}</p>
        </div>
        <button class="square" aria-label="Close" onClick={() => change({ selection: undefined })}>
          <Icon name="close" />
        </button>
      </header>
      <div class={problem ? 'scroll pad is-old' : 'scroll pad'}>
        {found?.problem && (
          <p class="problem" role="alert">
            {sentence(found.problem)}
          </p>
        )}
        {selection.kind === 'cell' ? (
          <CellDetails cell={selection.cell} found={found} />
        ) : (
          <DeviceDetails found={found} />
        )}
      </div>
    </aside>
  );
}

/** The map shows the past, of which the store has no last values and places. */
const isPast = computed(() => !isMoving(view.value.time, now.value));

function CellDetails({ cell, found }: { cell: string; found: Details | undefined }) {
  const { aggregate, metric } = view.value;
  // The map has what streams in; of other resolutions only what was asked for is known.
  const hexagon = valueOf(cell) ?? found?.hexagon;
  const [latitude, longitude] = centre(cell);
  const unit = unitOfAggregate(aggregate, metric, onlyTenant.value);
  return (
    <>
      <p class="huge" data-testid="cell-value">
        {number(hexagon?.value)} <span class="muted">{unit}</span>
      </p>
      <p class="muted">
        {AGGREGATE_NAMES[aggregate]} {aggregate === 'count' || aggregate === 'devices' ? '' : metric}
        {hexagon
          ? `, from ${count(hexagon.count, 'event')}${finality.value?.isFinal === false ? ', not final' : ''}`
          : found?.devices
            ? ': nothing in this range'
            : ''}
      </p>
      <dl>
        <dt>Centre</dt>
        <dd>{place(latitude, longitude)}</dd>
      </dl>
      <h3>Devices last known here {isPast.value && <span class="age">now, not in this range</span>}</h3>
      {!found?.devices && !found?.problem && <p class="muted">Loading…</p>}
      {found?.devices?.length === 0 && <p class="muted">None.</p>}
      <ul class="list">
        {found?.devices?.map((device) => (
          <li key={`${device.tenant}/${device.device}`}>
            <button onClick={() => openDevice(device)}>
              <span class="name">{device.device}</span>
              <span class="muted">{age(now.value - Date.parse(device.ts))}</span>
            </button>
          </li>
        ))}
      </ul>
    </>
  );
}

function openDevice(device: Device): void {
  goTo({ kind: 'device', tenant: device.tenant, device: device.device }, undefined);
}

function DeviceDetails({ found }: { found: Details | undefined }) {
  const device = found?.device;
  if (!device) return found?.problem ? null : <p class="muted">Loading…</p>;
  const seenMs = Date.parse(device.ts);
  // A clock that is slow, or an event that was sent late.
  const lateMs = Date.parse(device.received_at) - seenMs;
  const hasPlace = device.lat !== null && device.lon !== null;
  return (
    <>
      <dl>
        <dt>Last seen</dt>
        <dd>
          {time(seenMs, now.value)} <span class="muted">{age(now.value - seenMs)} ago</span>
        </dd>
        {lateMs > STALE_MS && (
          <>
            <dt>Came in</dt>
            <dd>
              {time(Date.parse(device.received_at), now.value)} <span class="muted">{age(lateMs)} late</span>
            </dd>
          </>
        )}
        <dt>Position{isPast.value && ' now'}</dt>
        <dd>{hasPlace ? place(device.lat as number, device.lon as number) : 'never told'}</dd>
        <dt>Track</dt>
        <Track track={found.track} />
      </dl>
      <div class="drawer-buttons">
        {hasPlace && (
          <button class="plain" onClick={() => showWhole(found.track, [device.lat as number, device.lon as number])}>
            Show on the map
          </button>
        )}
        <button class="plain" onClick={() => void copyLink(permalink())}>
          Copy link
        </button>
      </div>
      <h3>
        {isPast.value ? 'Last values, not of this range' : 'Last values'}{' '}
        <span class="age">as of {age(now.value - seenMs)} ago</span>
      </h3>
      <Values device={device} />
      <Attributes device={device} />
    </>
  );
}

/** How far it went, and since when. On the map arrows show which way, and it is faint where it is old. */
function Track({ track }: { track: TrackAnswer | undefined }) {
  const [first, last] = [track?.points[0], track?.points.at(-1)];
  if (!track || !first || !last) return <dd class="muted">no positions in this time</dd>;
  const [from, to] = [first, last].map(({ ts }) => time(Date.parse(ts), now.value, false));
  return (
    <dd>
      {first !== last && distance(lengthMetres(track.points))}{' '}
      <span class="muted">
        {first !== last && 'in '}
        {count(track.points.length, 'position')},{' '}
        <span class="whole">
          {from}
          {first !== last && ` – ${to}`}
        </span>
        {track.next !== null && ': there are more after it'}
      </span>
    </dd>
  );
}

/** Each metric can be picked for the map. */
function Values({ device }: { device: Device }) {
  return (
    <ul class="list">
      {Object.entries(device.metrics).map(([metric, value]) => (
        <li key={metric}>
          <button
            aria-pressed={view.value.metric === metric}
            title={`Show ${metric} on the map`}
            onClick={() => change({ metric })}
          >
            <span class="name">{metric}</span>
            <span class="value">
              {number(value)} <span class="muted">{unitOf(metric, device.tenant)}</span>
            </span>
          </button>
        </li>
      ))}
    </ul>
  );
}

function Attributes({ device }: { device: Device }) {
  const all = Object.entries(device.attributes);
  if (all.length === 0) return null;
  return (
    <>
      <h3>Attributes</h3>
      <dl>
        {all.map(([name, text]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{text}</dd>
          </div>
        ))}
      </dl>
    </>
  );
}
