/** What in view needs a look: data that is late or lacking, and devices that fell silent. Only what the server's answers
 * say; there are no rules of anybody in it. */

import { computed, effect, signal } from '@preact/signals';

import type { Device, DevicesAnswer } from '../data/answers';
import { ask, Problem, url } from '../data/api';
import { pause } from '../data/pause';
import { age, sentence, time } from '../format';
import { DEVICES_CHECKED_MAX, DEVICES_CHECK_MS, SETTLE_MS } from '../limits';
import { boxText } from '../map/resolution';
import { ageMs, finality, frame, isStale, shown, status } from './hexagons';
import { door } from './session';
import { isPaused, isTenantOpen, now, outage, session, unheardOf, view } from './store';
import { isMoving } from './time';

/** How long a device may say nothing before it is listed, in seconds: nobody knows here how often it should. */
export const SILENCES = [60, 300, 900, 3_600, 86_400] as const;
export const silenceSeconds = signal<number>(300);

interface Checked {
  readonly devices: readonly Device[];
  /** There are more in view than were looked at. */
  readonly isPart: boolean;
}

export const checked = signal<Checked | undefined>(undefined);
export const checkProblem = signal<string | undefined>(undefined);

/** Devices in view that have said nothing for longer, the longest first. */
export const silent = computed(() => {
  const sinceMs = now.value - silenceSeconds.value * 1_000;
  const quiet = (checked.value?.devices ?? []).filter((device) => Date.parse(device.ts) < sinceMs);
  return quiet.toSorted((one, other) => Date.parse(one.ts) - Date.parse(other.ts));
});

/** What is wrong with the data that is shown, in sentences. */
export const troubles = computed<readonly string[]>(() => {
  const found: string[] = [];
  const of = shown.value;
  if (outage.value) found.push(outage.value.text);
  if (status.value.mode === 'failing') found.push(sentence(status.value.reason ?? 'the server cannot be reached'));
  if (unheardOf.value === 'tenant') {
    found.push(isTenantOpen.value ? 'Nothing has been published for this tenant.' : 'This tenant is not one of yours.');
  }
  if (unheardOf.value === 'metric') found.push('Nobody has published this metric.');
  if (of && isStale.value && ageMs.value !== undefined && status.value.mode !== 'failing') {
    found.push(
      `The newest event is ${age(ageMs.value)} old: devices are silent, or something before the store is stuck.`,
    );
  }
  if (of?.exact === false) found.push(finality.value?.words ?? '');
  if (of && !of.complete && of.freshness && !isMoving(view.value.time, now.value)) {
    found.push(
      `Part of this range is missing: what is stored reaches to ${time(Date.parse(of.freshness), now.value)}.`,
    );
  }
  return found;
});

/** Looks at the devices in view for as long as somebody looks at the list. */
export function startAttention(): void {
  let work: AbortController | undefined;
  let before = '';
  effect(() => {
    const { isAttentionOpen, tenant } = view.value;
    const box = frame.value?.view;
    const paused = isPaused.value;
    const mayAsk = session.value !== undefined && isTenantOpen.value;
    const text = JSON.stringify([isAttentionOpen, tenant, box, paused, mayAsk]);
    if (text === before) return;
    before = text;
    work?.abort();
    if (!isAttentionOpen || !box || !mayAsk) return;
    work = new AbortController();
    const address = url('devices', { tenant, bbox: boxText(box), limit: DEVICES_CHECKED_MAX });
    void follow(address, paused, work.signal);
  });
}

async function follow(address: string, isOnce: boolean, signal: AbortSignal): Promise<void> {
  await pause(SETTLE_MS);
  while (!signal.aborted) {
    try {
      const { body } = await ask<DevicesAnswer>(door.fetch, address, signal);
      checked.value = { devices: body.devices, isPart: body.next !== null };
      checkProblem.value = undefined;
    } catch (error) {
      if (signal.aborted) return;
      checkProblem.value = error instanceof Problem ? error.message : 'devices cannot be looked at';
    }
    if (isOnce) return;
    await pause(DEVICES_CHECK_MS);
  }
}
