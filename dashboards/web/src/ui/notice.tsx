/** What is said in the middle of the map when there is nothing to see on it, and why. */

import { age } from '../format';
import { ageMs, isLoading, isStale, retryNow, shown, status, visible } from '../state/hexagons';
import { fitToData, isEmptyStore, startProblem } from '../state/stage';
import { change, isPaused, view } from '../state/store';

export function Notice() {
  const { metric, time } = view.value;
  if (startProblem.value) {
    return (
      <Card title="The server does not answer" text={`${sentence(startProblem.value)} It is tried again.`} isBad />
    );
  }
  if (isEmptyStore.value) {
    return (
      <Card
        title="Nothing has been published yet"
        text="As soon as a device publishes over MQTT, it appears here."
        link={['How to publish', '/status']}
      />
    );
  }
  const { mode, reason, retryAtMs } = status.value;
  if (mode === 'failing') {
    const text = `${sentence(reason ?? 'The server does not answer')}${shown.value ? ' What is shown is from before.' : ''}`;
    const action = retryAtMs === undefined ? undefined : (['Try now', retryNow] as const);
    return <Card title={shown.value ? 'No new data' : 'No data'} text={text} action={action} isBad isSmall />;
  }
  if (isLoading.value && !shown.value) return <Card title="Loading…" isSmall />;
  if (isStale.value && !isPaused.value && ageMs.value !== undefined) {
    const text = `The newest event is ${age(ageMs.value)} old. Devices are silent, or something before the store is stuck.`;
    return <Card title="This data is stale" text={text} isBad isSmall />;
  }
  if (!isLoading.value && shown.value && visible.value.length === 0) {
    const text =
      time.kind === 'live' ? 'Nothing has reported from here since the bucket began.' : 'Nothing in this range.';
    return (
      <Card
        title={`No ${metric} here`}
        text={text}
        action={['Go to where the data is', () => void fitToData()]}
        second={
          time.kind === 'live' ? ['Last hour', () => change({ time: { kind: 'last', seconds: 3_600 } })] : undefined
        }
      />
    );
  }
  return null;
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`.replace(/\.\.$/, '.');
}

interface CardProperties {
  title: string;
  text?: string | undefined;
  action?: readonly [string, () => void] | undefined;
  second?: readonly [string, () => void] | undefined;
  link?: readonly [string, string] | undefined;
  isBad?: boolean;
  isSmall?: boolean;
}

function Card({ title, text, action, second, link, isBad, isSmall }: CardProperties) {
  const classes = ['notice', isBad && 'is-bad', isSmall && 'is-small'].filter(Boolean).join(' ');
  return (
    <div class={classes} role={isBad ? 'alert' : 'status'}>
      <strong>{title}</strong>
      {text && <p>{text}</p>}
      {(action || second || link) && (
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
          {link && <a href={link[1]}>{link[0]}</a>}
        </div>
      )}
    </div>
  );
}
