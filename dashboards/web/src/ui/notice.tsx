/** What is said in the middle of the map when there is nothing to see on it, and why. */

import { age, sentence, time as clockTime } from '../format';
import { BUCKET_NEW_SHARE, METRICS_OFFERED_MAX } from '../limits';
import { ageMs, isLoading, isStale, retryNow, shown, status, visible } from '../state/hexagons';
import { fitToData, isEmptyStore } from '../state/stage';
import {
  change,
  hasAllTenants,
  isPaused,
  isTenantOpen,
  metrics,
  now,
  outage,
  tenants,
  unheardOf,
  view,
} from '../state/store';
import { DAY, HOUR } from '../state/time';
import { FirstRun } from './firstrun';

export function Notice() {
  const { metric, time } = view.value;
  if (outage.value) return <Card {...outage.value} isBad />;
  if (unheardOf.value === 'tenant' && visible.value.length === 0) return <Unheard what="tenant" />;
  if (isEmptyStore.value) return <FirstRun />;
  const { mode, reason, retryAtMs } = status.value;
  if (mode === 'failing') {
    const text = `${sentence(reason ?? 'The server does not answer')}${shown.value ? ' What is shown is from before.' : ''}`;
    const action = retryAtMs === undefined ? undefined : (['Try now', retryNow] as const);
    const title =
      retryAtMs === undefined ? 'The server refuses this question' : shown.value ? 'No new data' : 'No data';
    return <Card title={title} text={text} action={action} isBad isSmall />;
  }
  if (isLoading.value && !shown.value) return <Card title="Loading…" isSmall />;
  if (isStale.value && !isPaused.value && ageMs.value !== undefined) {
    const text = `The newest event is ${age(ageMs.value)} old. Devices are silent, or something before the store is stuck.`;
    return <Card title="This data is stale" text={text} isBad isSmall />;
  }
  if (unheardOf.value === 'metric' && visible.value.length === 0) return <Unheard what="metric" />;
  if (isLoading.value || !shown.value || visible.value.length > 0) return null;
  const find = ['Go to where the data is', () => void fitToData()] as const;
  if (time.kind !== 'live') return <Card title={`No ${metric} here`} text="Nothing in this range." action={find} />;
  return <EmptyBucket fromMs={Date.parse(shown.value.from)} period={shown.value.period} find={find} />;
}

/** Live views begin anew with each bucket, above all with each hour. */
function EmptyBucket(properties: { fromMs: number; period: number; find: readonly [string, () => void] }) {
  const { fromMs, period, find } = properties;
  const { metric } = view.value;
  const name = period === DAY ? 'day (UTC)' : period === HOUR ? 'hour' : 'minute';
  const isNew = now.value - fromMs < period * BUCKET_NEW_SHARE * 1_000;
  const seconds = Math.max(HOUR, period);
  const last = [
    seconds === DAY ? 'Show the last 24 hours' : 'Show the last hour',
    () => change({ time: { kind: 'last', seconds } }),
  ] as const;
  return (
    <Card
      title={isNew ? `The ${name} has just begun` : `No ${metric} here`}
      text={`Nothing has reported ${metric} from here since ${clockTime(fromMs, now.value, false)}.`}
      action={isNew ? last : find}
      second={isNew ? find : last}
    />
  );
}

/** What the address asks for was never published: those that were are offered. */
function Unheard({ what }: { what: 'tenant' | 'metric' }) {
  const { metric, tenant } = view.value;
  const titles = {
    tenant: isTenantOpen.value
      ? `Nothing has been published for a tenant “${tenant}”`
      : `Your key is not for a tenant “${tenant}”`,
    metric: `No metric “${metric}” has been published`,
  };
  const known = what === 'tenant' ? tenants.value : metrics.value;
  const pick = (name: string) => {
    change(what === 'tenant' ? { tenant: name, selection: undefined } : { metric: name });
    void fitToData();
  };
  return (
    <div class="notice" role="status">
      <strong>{titles[what]}</strong>
      <p>
        {what === 'metric' && tenant !== '' && known.length > 0 && `Tenant “${tenant}” has published others. `}
        {what === 'tenant' && !hasAllTenants.value
          ? 'It is for:'
          : known.length > METRICS_OFFERED_MAX
            ? 'Some of those that have been:'
            : 'Those that have been:'}
      </p>
      <div class="notice-buttons">
        {known.slice(0, METRICS_OFFERED_MAX).map((name) => (
          <button key={name} class="plain" onClick={() => pick(name)}>
            {name}
          </button>
        ))}
        {tenant !== '' && hasAllTenants.value && (
          <button class="primary" onClick={showAllTenants}>
            All tenants
          </button>
        )}
      </div>
    </div>
  );
}

function showAllTenants(): void {
  change({ tenant: '', selection: undefined });
  void fitToData();
}

interface CardProperties {
  title: string;
  text?: string | undefined;
  action?: readonly [string, () => void] | undefined;
  second?: readonly [string, () => void] | undefined;
  isBad?: boolean;
  isSmall?: boolean;
}

function Card({ title, text, action, second, isBad, isSmall }: CardProperties) {
  const classes = ['notice', isBad && 'is-bad', isSmall && 'is-small'].filter(Boolean).join(' ');
  return (
    <div class={classes} role={isBad ? 'alert' : 'status'}>
      <strong>{title}</strong>
      {text && <p>{text}</p>}
      {(action || second) && (
        <div class="notice-buttons">
          {action && (
            <button class="primary" onClick={action[1]}>
              {action[0]}
            </button>
          )}
          {second && (
            <button class="plain" onClick={second[1]}>
              {second[0]}
            </button>
          )}
        </div>
      )}
    </div>
  );
}
