/** Asks for a key where the server wants one, and hands it over for a cookie that no script can read. */

import { render } from 'preact';
import { useState } from 'preact/hooks';

import '../styles/login.css';

const SESSION = '/api/v1/session';

/** Puts the login in the place of the page when the server says that it does not know who asks. */
export async function askForKeyIn(root: HTMLElement): Promise<void> {
  const answer = await fetch(SESSION).catch(() => undefined);
  if (answer?.status === 401) render(<Login />, root);
}

function Login() {
  const [problem, setProblem] = useState('');
  const [isWaiting, setWaiting] = useState(false);
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const key = new FormData(event.currentTarget as HTMLFormElement).get('key');
    setWaiting(true);
    const told = await logIn(typeof key === 'string' ? key.trim() : '');
    // The page begins anew, with all that it may see.
    if (told === undefined) location.reload();
    else setProblem(told);
    setWaiting(false);
  };
  return (
    <main class="login">
      <form onSubmit={(event) => void submit(event)}>
        <h1>Meridian</h1>
        <label for="key">API key</label>
        <input
          id="key"
          name="key"
          type="password"
          autocomplete="current-password"
          required
          autofocus
          aria-describedby="key-help"
        />
        <p id="key-help" class="muted small">
          It begins with <code>mrd_</code>. Whoever operates this server makes one with <code>meridian keys new</code>.
        </p>
        <p role="alert" class="problem">
          {problem}
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
  const answer = await fetch(SESSION, request).catch(() => undefined);
  if (answer?.ok) return undefined;
  if (answer?.status === 401) return 'This key opens nothing: it is unknown, expired or revoked.';
  if (answer?.status === 429) return 'Too many attempts. Wait a moment.';
  return 'The server does not answer. Try again in a moment.';
}
