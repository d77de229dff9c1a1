/** Asks the query API. Every failure becomes a [`Problem`] in words that a person can act on. */

import { ANSWER_MS_MAX } from '../limits';

/** Why an answer is not there. */
export class Problem extends Error {
  constructor(
    /** HTTP status; 0 when nothing answered at all. */
    readonly status: number,
    message: string,
    /** The parameter that is wrong, where one is. */
    readonly parameter: string | undefined = undefined,
    /** How long the server asks to wait. */
    readonly retryAfterMs: number | undefined = undefined,
    /** Its stable name, where the server gave one. */
    readonly kind: string | undefined = undefined,
  ) {
    super(message);
  }

  /** Who does not do their part, in short. */
  get title(): string {
    if (this.status === 0) return 'The server does not answer';
    if (this.kind === 'store-unavailable') return 'The database is not ready';
    if (this.status === 429) return 'The server is asked too much';
    if (this.status === 401 || this.status === 403) return 'This may not be seen';
    return this.status < 500 ? 'The server refuses this question' : 'The server has a fault';
  }

  /** The same request can succeed later. */
  get isPassing(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/** An answer, and what is needed to ask whether it still holds. */
export interface Tagged<T> {
  body: T;
  tag: string | null;
  freshness: string | null;
  /** The server said that nothing changed. */
  unchanged: boolean;
}

export type Parameters = Record<string, string | number | undefined>;
export type Fetch = (url: string, init?: RequestInit) => Promise<Response>;

export function url(path: string, parameters: Parameters = {}): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined && value !== '') query.set(name, String(value));
  }
  const text = query.toString();
  return `/api/v1/${path}${text && '?'}${text}`;
}

/** What stable names of problems begin with. */
const KIND = 'urn:meridian:problem:';

/** Reads the problem document of a refusal. */
export async function problemOf(response: Response): Promise<Problem> {
  const seconds = Number(response.headers.get('retry-after') ?? Number.NaN);
  const retryAfterMs = Number.isFinite(seconds) ? seconds * 1_000 : undefined;
  let detail = `the server answered ${response.status}`;
  let parameter: string | undefined;
  let kind: string | undefined;
  try {
    const document = (await response.json()) as Partial<Record<'type' | 'detail' | 'title' | 'parameter', unknown>>;
    const text = document.detail ?? document.title;
    // Pages do that by themselves.
    if (typeof text === 'string') detail = text.replace(/; try again in a moment$/, '');
    if (typeof document.parameter === 'string') parameter = document.parameter;
    if (typeof document.type === 'string' && document.type.startsWith(KIND)) kind = document.type.slice(KIND.length);
  } catch {
    // A proxy may answer with anything; the status says enough then.
  }
  return new Problem(response.status, detail, parameter, retryAfterMs, kind);
}

/** One request. With an answer from before, that one is returned while the server says it still holds. */
export async function ask<T>(
  fetcher: Fetch,
  address: string,
  signal?: AbortSignal,
  before?: Tagged<T>,
): Promise<Tagged<T>> {
  const deadline = AbortSignal.timeout(ANSWER_MS_MAX);
  const headers: Record<string, string> = { accept: 'application/json' };
  if (before?.tag) headers['if-none-match'] = before.tag;
  let response: Response;
  try {
    response = await fetcher(address, {
      headers,
      // What the browser keeps by itself would be up to ten seconds old.
      cache: 'no-store',
      signal: signal ? AbortSignal.any([signal, deadline]) : deadline,
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(0, deadline.aborted ? 'the server did not answer in time' : 'the server cannot be reached');
  }
  const freshness = response.headers.get('meridian-freshness');
  if (response.status === 304 && before) return { ...before, freshness, unchanged: true };
  if (!response.ok) throw await problemOf(response);
  try {
    const body = (await response.json()) as T;
    return { body, tag: response.headers.get('etag'), freshness, unchanged: false };
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(0, 'the answer of the server broke off');
  }
}
