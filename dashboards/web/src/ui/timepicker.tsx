/** Live, a range that ends now, or one between two moments. */

import { signal } from '@preact/signals';

import { now, change, view } from '../state/store';
import { LAST, type Time } from '../state/time';
import * as format from '../format';
import { Pick } from './topbar';

const isCustomOpen = signal(false);
const problem = signal('');

const CUSTOM = 'custom';

export function TimePicker() {
  const { time } = view.value;
  const choices: (readonly [string, string])[] = [
    ['live', 'Live'],
    ...LAST.map(([seconds, label]) => [String(seconds), label] as const),
  ];
  let value = time.kind === 'last' ? String(time.seconds) : time.kind;
  if (time.kind === 'last' && !choices.some(([one]) => one === value)) {
    choices.push([value, `Last ${format.age(time.seconds * 1_000)}`]);
  }
  if (time.kind === 'between') {
    value = 'between';
    choices.push(['between', format.rangeInShort(time.fromMs, time.toMs, now.value)]);
  }
  choices.push([CUSTOM, 'From … to …']);
  return (
    <div class="time" title={time.kind === 'between' ? format.range(time.fromMs, time.toMs, now.value) : undefined}>
      <Pick
        label="Time"
        value={isCustomOpen.value ? CUSTOM : value}
        choices={choices}
        onPick={(picked) => {
          isCustomOpen.value = picked === CUSTOM;
          const next = timeOf(picked);
          if (next) change({ time: next });
        }}
      />
      {isCustomOpen.value && <Custom />}
    </div>
  );
}

function timeOf(picked: string): Time | undefined {
  if (picked === 'live') return { kind: 'live' };
  const seconds = Number(picked);
  return seconds > 0 ? { kind: 'last', seconds } : undefined;
}

/** The two fields; times are those of the clock on the wall here. */
function Custom() {
  const { time } = view.value;
  const range = time.kind === 'between' ? time : { fromMs: now.peek() - 3_600_000, toMs: now.peek() };
  const apply = (event: SubmitEvent) => {
    event.preventDefault();
    const data = new FormData(event.currentTarget as HTMLFormElement);
    const [fromMs, toMs] = [Date.parse(String(data.get('from'))), Date.parse(String(data.get('to')))];
    if (!(fromMs >= 0 && toMs > fromMs)) {
      problem.value = 'The end must be after the start.';
      return;
    }
    problem.value = '';
    isCustomOpen.value = false;
    change({ time: { kind: 'between', fromMs, toMs } });
  };
  return (
    <form class="custom" onSubmit={apply} aria-label="Time range">
      <label>
        From
        <input type="datetime-local" name="from" defaultValue={local(range.fromMs)} required />
      </label>
      <label>
        To
        <input type="datetime-local" name="to" defaultValue={local(range.toMs)} required />
      </label>
      <p class="muted small">Times are those of this browser: {format.zone(range.fromMs, range.toMs)}.</p>
      {problem.value && <p role="alert">{problem.value}</p>}
      <div class="custom-buttons">
        <button type="button" class="plain" onClick={() => (isCustomOpen.value = false)}>
          Cancel
        </button>
        <button type="submit" class="primary">
          Show
        </button>
      </div>
    </form>
  );
}

/** As the field wants it: local time without a zone. */
function local(ms: number): string {
  const shifted = new Date(ms - new Date(ms).getTimezoneOffset() * 60_000);
  return shifted.toISOString().slice(0, 16);
}
