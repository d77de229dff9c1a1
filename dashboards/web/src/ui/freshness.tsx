/** How fresh the data is, and how it comes here: in short on a chip, and in full when one asks. */

import { age, sentence, time } from '../format';
import { CATALOG_MS, POLL_MS, SETTLED_POLL_MS } from '../limits';
import { ageMs, finality, isStale, retryNow, shown, status } from '../state/hexagons';
import { isEmptyStore } from '../state/stage';
import { isFreshnessOpen, isPaused, newestOfMetricMs, now, outage, unheardOf, view } from '../state/store';
import { isMoving } from '../state/time';
import { Icon } from './icons';

interface Word {
  tone: 'good' | 'calm' | 'bad';
  text: string;
}

function word(): Word {
  const { mode, retryAtMs } = status.value;
  if (outage.value) return { tone: 'bad', text: 'No answer' };
  if (isPaused.value) return { tone: 'calm', text: 'Paused' };
  if (unheardOf.value === 'tenant') return { tone: 'calm', text: 'No data' };
  if (mode === 'failing') {
    // It did answer, and will not answer otherwise.
    if (retryAtMs === undefined) return { tone: 'bad', text: 'Refused' };
    const seconds = Math.ceil((retryAtMs - now.value) / 1_000);
    return { tone: 'bad', text: seconds > 0 ? `No answer · again in ${seconds} s` : 'No answer' };
  }
  if (isEmptyStore.value) return { tone: 'calm', text: 'No data yet' };
  if (mode === 'loading' && !shown.value) return { tone: 'calm', text: 'Loading' };
  if (!isMoving(view.value.time, now.value)) return { tone: 'calm', text: 'Past' };
  if (ageMs.value === undefined) return { tone: 'calm', text: 'No data yet' };
  if (isStale.value) return { tone: 'bad', text: `Stale · ${age(ageMs.value)}` };
  return { tone: 'good', text: `${mode === 'streaming' ? 'Live' : 'Polling'} · ${age(ageMs.value)}` };
}

/** How it comes, in a sentence. */
function way(): string {
  const { mode, reason } = status.value;
  if (outage.value) return outage.value.text;
  if (unheardOf.value === 'tenant') return 'Nothing is asked for: there is nothing of this tenant.';
  const because = reason ? `, as ${reason}` : '';
  switch (isPaused.value ? 'paused' : mode) {
    case 'streaming':
      return 'Streamed: changes are shown as they are stored.';
    case 'polling':
      return `Asked for every ${POLL_MS / 1_000} s${because}.`;
    case 'settled':
      return `This range has passed: asked for every ${SETTLED_POLL_MS / 60_000} min, for late events.`;
    case 'paused':
      return 'Paused: nothing changes until you go on.';
    case 'loading':
      return isEmptyStore.value ? 'Nothing has been published yet.' : 'Being asked for.';
    case 'failing':
      return `${sentence(reason ?? 'the server cannot be reached')} What is shown is from before.`;
  }
}

export function Freshness() {
  const { tone, text } = word();
  const isOpen = isFreshnessOpen.value;
  return (
    <div class="freshness-box">
      <button
        class={`freshness is-${tone}`}
        aria-label={`${text}. How fresh this is, and how it comes`}
        aria-expanded={isOpen}
        aria-controls="freshness"
        title="How fresh this is, and how it comes"
        onClick={() => (isFreshnessOpen.value = !isOpen)}
      >
        <span class="dot" />
        <span class="freshness-text">{text}</span>
      </button>
      {isOpen && <Explanation />}
    </div>
  );
}

function Explanation() {
  const freshness = shown.value?.freshness;
  return (
    <section class="card freshness-card" id="freshness" aria-label="Freshness">
      <button class="square" aria-label="Close freshness" onClick={() => (isFreshnessOpen.value = false)}>
        <Icon name="close" />
      </button>
      <h2>How it comes</h2>
      <p>{way()}</p>
      {freshness && (
        <>
          <h2>Complete up to</h2>
          <p>
            {time(Date.parse(freshness), now.value)} <span class="muted">{age(ageMs.value ?? 0)} ago</span>
          </p>
          <p class="muted small">
            The newest event that is stored, less the seconds for which changes of these buckets are collected before
            they are stored.{isStale.value ? '' : ' Most of what is newer is shown as well.'}
          </p>
        </>
      )}
      <NewestOfMetric />
      <h2>Final</h2>
      <p>{finality.value?.words ?? 'Nothing is shown yet.'}</p>
      <button class="plain" onClick={retryNow}>
        Ask now
      </button>
    </section>
  );
}

/** Above all it tells of a metric that has stopped while others of the tenant go on. */
function NewestOfMetric() {
  const newestMs = newestOfMetricMs.value;
  if (newestMs === undefined) return null;
  const silentMs = now.value - newestMs;
  // What is known of it is as old as the catalog may be.
  const isNow = silentMs < 2 * CATALOG_MS;
  return (
    <>
      <h2>Newest value of {view.value.metric}</h2>
      <p>
        {isNow ? (
          `Within the last ${(2 * CATALOG_MS) / 1_000} s`
        ) : (
          <>
            {time(newestMs, now.value)} <span class="muted">{age(silentMs)} ago</span>
          </>
        )}
      </p>
    </>
  );
}
