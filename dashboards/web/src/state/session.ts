/** Who asks: what the server says about that, and how it ends. Everything of the page that asks the server does so
 * through the door here. */

import { batch, effect, signal } from '@preact/signals';

import type { Session } from '../data/answers';
import { ask, Problem, url } from '../data/api';
import { backoffMs } from '../data/backoff';
import { Door, type Shut } from '../data/door';
import { pause } from '../data/pause';
import { fill, say, session, startProblem, view } from './store';

/** Why a key is asked for, once it is. */
export const shut = signal<Shut | undefined>(undefined);

export const door = new Door(
  (address, init) => fetch(address, init),
  (why) => (shut.value = why),
);

/** Finds out who asks. Until that is known nothing else is asked: it decides which tenants there are. */
export async function startSession(): Promise<void> {
  effect(() => {
    // Who may not see all tenants sees the first of theirs, until another one is chosen.
    const [first] = session.value?.tenants ?? [];
    if (first !== undefined && view.value.tenant === '') fill({ tenant: first });
  });
  for (let failures = 1; ; failures += 1) {
    let pauseMs = backoffMs(failures, Math.random());
    try {
      const { body } = await ask<Session>(door.fetch, url('session'));
      batch(() => {
        session.value = body;
        startProblem.value = undefined;
      });
      return;
    } catch (error) {
      startProblem.value = ofSession(error);
      pauseMs = Math.max(pauseMs, startProblem.value.retryAfterMs ?? 0);
    }
    await pause(pauseMs);
  }
}

/** Keys are kept in the store, and that they are not known is nobody's fault but the store's. */
function ofSession(error: unknown): Problem {
  if (!(error instanceof Problem)) return new Problem(0, 'the page cannot start');
  if (error.kind !== 'store-unavailable') return error;
  return new Problem(error.status, 'ClickHouse does not answer', undefined, error.retryAfterMs, error.kind);
}

/** Forgets the login in this browser, and asks for a key. */
export async function logOut(): Promise<void> {
  const answer = await door.fetch(url('session'), { method: 'DELETE' }).catch(() => undefined);
  if (answer?.ok) return door.shut('left');
  say(`The server ${answer ? `answered ${answer.status}` : 'does not answer'}: you are still logged in`);
}
