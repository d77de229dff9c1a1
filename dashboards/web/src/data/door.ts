/** The one way out to the query API. Once the server says that it does not know who asks, nobody here gets an answer any
 * more, and nothing is asked: the page has to begin anew. */

import { problemOf, type Fetch } from './api';

/** Why the door was shut: the key opens nothing, there is none (any more), or somebody left. */
export type Shut = 'refused' | 'missing' | 'left';

const STATUS_UNAUTHORIZED = 401;

export class Door {
  readonly #fetch: Fetch;
  readonly #onShut: (why: Shut) => void;
  /** Ends what is under way, streams too. */
  readonly #life = new AbortController();

  constructor(fetcher: Fetch, onShut: (why: Shut) => void) {
    this.#fetch = fetcher;
    this.#onShut = onShut;
  }

  /** As `fetch`, but what is asked of a shut door is never answered. */
  readonly fetch: Fetch = async (address, init = {}) => {
    if (this.#life.signal.aborted) return never();
    const either = init.signal ? AbortSignal.any([init.signal, this.#life.signal]) : this.#life.signal;
    let response: Response;
    try {
      response = await this.#fetch(address, { ...init, signal: either });
    } catch (error) {
      // Whoever gave up wants to know; whoever was cut off by us has nobody to tell.
      if (this.#life.signal.aborted && !init.signal?.aborted) return never();
      throw error;
    }
    if (response.status !== STATUS_UNAUTHORIZED) return response;
    const { kind } = await problemOf(response);
    this.shut(kind === 'credential-refused' ? 'refused' : 'missing');
    return never();
  };

  /** Only the first reason counts. */
  shut(why: Shut): void {
    if (this.#life.signal.aborted) return;
    this.#life.abort();
    this.#onShut(why);
  }
}

function never(): Promise<never> {
  return new Promise(() => {});
}
