/** How fresh the data is, and how it comes here. */

import { age } from '../format';
import { ageMs, isStale, retryNow, shown, status } from '../state/hexagons';
import { isPaused, now, view } from '../state/store';
import { isMoving } from '../state/time';

interface Word {
  tone: 'good' | 'calm' | 'bad';
  text: string;
  hint: string;
}

function word(): Word {
  const { mode, reason, retryAtMs } = status.value;
  const behind = ageMs.value === undefined ? '' : `newest data ${age(ageMs.value)} old`;
  const hint = [reason && `Why: ${reason}.`, behind && `The ${behind}.`].filter(Boolean).join(' ');
  if (isPaused.value) return { tone: 'calm', text: 'Paused', hint };
  if (mode === 'failing') {
    const seconds = retryAtMs === undefined ? 0 : Math.ceil((retryAtMs - now.value) / 1_000);
    return { tone: 'bad', text: seconds > 0 ? `No answer · again in ${seconds} s` : 'No answer', hint };
  }
  if (mode === 'loading' && !shown.value) return { tone: 'calm', text: 'Loading', hint };
  if (!isMoving(view.value.time, now.value)) return { tone: 'calm', text: 'Past', hint: 'This range has passed.' };
  if (ageMs.value === undefined) return { tone: 'calm', text: 'No data yet', hint };
  if (isStale.value) return { tone: 'bad', text: `Stale · ${age(ageMs.value)}`, hint };
  if (mode === 'streaming') return { tone: 'good', text: `Live · ${age(ageMs.value)}`, hint };
  return { tone: 'good', text: `Polling · ${age(ageMs.value)}`, hint };
}

export function Freshness() {
  const { tone, text, hint } = word();
  return (
    <button class={`freshness is-${tone}`} title={hint} aria-label={`${text}. ${hint}`} onClick={retryNow}>
      <span class="dot" />
      <span class="freshness-text">{text}</span>
    </button>
  );
}
