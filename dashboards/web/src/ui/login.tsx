/** Asks for a key where the server wants one, and hands it over for a cookie that no script can read. */

import { useLayoutEffect, useRef, useState } from 'preact/hooks';

import type { Shut } from '../data/door';
import { url } from '../data/api';
import { session } from '../state/store';
import '../styles/login.css';

/** Why one sees this; nothing for who comes for the first time. */
function reason(why: Shut): string {
  if (why === 'left') return 'You are logged out.';
  if (why === 'refused') return 'The key is unknown, expired or revoked.';
  if (session.value?.credential) return 'Your login has ended, or somebody logged out in this browser.';
  return session.value ? 'From now on this server asks for a key.' : '';
}

export function Login({ why }: { why: Shut }) {
  const field = useRef<HTMLInputElement>(null);
  const [told, setTold] = useState({ text: reason(why), isBad: why === 'refused' });
  const [isWaiting, setWaiting] = useState(false);
  useLayoutEffect(() => field.current?.focus(), []);
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const key = new FormData(event.currentTarget as HTMLFormElement).get('key');
    setWaiting(true);
    const problem = await logIn(typeof key === 'string' ? key.trim() : '');
    // The page begins anew, with all that it may see, and with the view that is in the address.
    if (problem === undefined) return location.reload();
    setTold({ text: problem, isBad: true });
    setWaiting(false);
    field.current?.select();
  };
  return (
    <main class="login">
      <form onSubmit={(event) => void submit(event)}>
        <h1>Meridian</h1>
        <p role="alert" class={told.isBad ? 'told problem' : 'told'}>
          {told.text}
        </p>
        <label for="key">API key</label>
        <input
          id="key"
          name="key"
          type="password"
          autocomplete="current-password"
          required
          ref={field}
          aria-describedby="key-help"
        />
        <p id="key-help" class="muted small">
          It begins with <code>mrd_</code>. Whoever operates this server makes one with <code>meridian keys new</code>.
        </p>
        <button type="submit" disabled={isWaiting}>
          Show the map
        </button>
      </form>
    </main>
  );
}

/** Why it did not succeed; nothing when it did. */
async function logIn(key: string): Promise<string | undefined> {
  const headers = { 'content-type': 'application/json' };
  const request = { method: 'POST', headers, body: JSON.stringify({ key }) };
  const answer = await fetch(url('session'), request).catch(() => undefined);
  if (answer?.ok) return undefined;
  if (answer?.status === 401) return 'This key opens nothing: it is unknown, expired or revoked.';
  if (answer?.status === 429) return 'Too many attempts. Wait a moment.';
  return 'The server does not answer. Try again in a moment.';
}
