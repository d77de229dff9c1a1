/** Where the hexagons on the map come from: a stream where the server and everything between allow one, else questions at
 * even intervals, with the same data. One view at a time; it never hands on what belongs to a view before. */

import {
  POLL_MS,
  SETTLED_POLL_MS,
  STREAM_FAILURES_MAX,
  STREAM_FIRST_MS,
  STREAM_RETRY_MS,
  STREAM_SILENCE_MS,
} from '../limits';
import { isMoving, rangeOf, type Time } from '../state/time';
import { STREAMED, type Aggregate, type BoundingBox, type CellsAnswer } from './answers';
import { boxText } from '../map/resolution';
import { ask, problemOf, Problem, url, type Fetch, type Parameters, type Tagged } from './api';
import { backoffMs } from './backoff';
import { EventReader, type StreamEvent } from './events';

/** What to show. */
export interface Watched {
  readonly tenant: string;
  readonly metric: string;
  readonly aggregate: Aggregate;
  readonly period: number;
  readonly resolution: number;
  readonly box: BoundingBox;
  readonly time: Time;
}

/** How data comes. */
export interface Status {
  readonly mode: 'loading' | 'streaming' | 'polling' | 'settled' | 'paused' | 'failing';
  /** Why it does not stream, or why nothing comes, in words. */
  readonly reason: string | undefined;
  /** When it is tried again after a failure. */
  readonly retryAtMs: number | undefined;
}

/** What the source tells. */
export interface Listener {
  /** All hexagons of the view. */
  snapshot(answer: CellsAnswer, watched: Watched): void;
  /** Hexagons that changed. */
  delta(answer: CellsAnswer, watched: Watched): void;
  /** Something may have been missed: what else is shown is to be asked for again. */
  gap(): void;
  /** Nothing changed, and this is how fresh the data is. */
  fresh(freshness: string | null): void;
  status(status: Status): void;
  /** The store has no such fine resolution. */
  tooFine(): void;
}

/** What the source takes from the world, so that tests can give it. */
export interface World {
  fetch: Fetch;
  now(): number;
  random(): number;
}

/** How a connection ended: to be made again, or not to be had. What is refused for one view may be had for another. */
type Outcome = { kind: 'again' } | { kind: 'unsupported'; reason: string; isOfView: boolean };

export class Source {
  readonly #world: World;
  readonly #listener: Listener;
  #watched: Watched | undefined;
  #work: AbortController | undefined;
  #isPaused = false;
  /** Until when streaming is not tried again, and why. */
  #unsupported: { untilMs: number; reason: string; isOfView: boolean } | undefined;

  constructor(world: World, listener: Listener) {
    this.#world = world;
    this.#listener = listener;
  }

  /** Shows this view from now on. */
  watch(watched: Watched): void {
    this.#watched = watched;
    if (this.#unsupported?.isOfView) this.#unsupported = undefined;
    this.#restart();
  }

  pause(): void {
    this.#isPaused = true;
    this.#restart();
  }

  resume(): void {
    this.#isPaused = false;
    this.#restart();
  }

  /** Tries at once what would be tried later. */
  retry(): void {
    this.#restart();
  }

  close(): void {
    this.#work?.abort();
    this.#watched = undefined;
  }

  #restart(): void {
    this.#work?.abort();
    this.#work = undefined;
    const watched = this.#watched;
    if (!watched) return;
    const work = new AbortController();
    this.#work = work;
    const run = this.#isPaused ? this.#once(watched, work.signal) : this.#run(watched, work.signal);
    run.catch((error: unknown) => {
      // An abort is how work ends here; anything else is a fault of this page, and must be seen.
      if (!work.signal.aborted) throw error;
    });
  }

  /** While paused a new view is still shown, as it is now. */
  async #once(watched: Watched, signal: AbortSignal): Promise<void> {
    this.#tell('paused');
    for (let failures = 1; ; failures += 1) {
      try {
        const answer = await this.#ask(watched, signal, undefined);
        this.#listener.snapshot(answer.body, watched);
        this.#tell('paused');
        return;
      } catch (error) {
        if (!(await this.#afterFailure(error, failures, signal))) return;
      }
    }
  }

  async #run(watched: Watched, signal: AbortSignal): Promise<void> {
    this.#tell('loading');
    if (watched.time.kind !== 'live') return this.#poll(watched, signal, undefined, undefined);
    if (!STREAMED.includes(watched.aggregate)) {
      return this.#poll(watched, signal, undefined, 'percentiles and numbers of devices are not streamed');
    }
    for (;;) {
      const barred = this.#unsupported;
      if (!barred || barred.untilMs <= this.#world.now()) await this.#stream(watched, signal);
      const until = this.#unsupported;
      await this.#poll(watched, signal, until?.untilMs, until?.reason);
    }
  }

  /** Asks again and again; ends when streaming should be tried. */
  async #poll(watched: Watched, signal: AbortSignal, untilMs?: number, reason?: string): Promise<void> {
    let before: Tagged<CellsAnswer> | undefined;
    let range = '';
    let failures = 0;
    while (untilMs === undefined || this.#world.now() < untilMs) {
      let pauseMs: number;
      try {
        const parameters = this.#parameters(watched);
        // With another range nothing of the answer before holds.
        const nowRange = `${parameters['from']} ${parameters['to']}`;
        const answer = await this.#ask(watched, signal, nowRange === range ? before : undefined);
        range = nowRange;
        failures = 0;
        if (answer.unchanged) this.#listener.fresh(answer.freshness);
        else this.#listener.snapshot(answer.body, watched);
        before = answer;
        const isSettled = !isMoving(watched.time, this.#world.now());
        this.#tell(isSettled ? 'settled' : 'polling', reason);
        pauseMs = isSettled ? SETTLED_POLL_MS : POLL_MS;
      } catch (error) {
        failures += 1;
        if (!(await this.#afterFailure(error, failures, signal))) return forever(signal);
        continue;
      }
      await sleep(pauseMs, signal);
    }
  }

  /** Reads the stream, and connects again where it broke off; ends when it should be polled instead. */
  async #stream(watched: Watched, signal: AbortSignal): Promise<void> {
    let failures = 0;
    let lastId: string | undefined;
    for (;;) {
      const seen = { id: lastId, events: 0 };
      let outcome: Outcome | undefined;
      let problem: Problem | undefined;
      try {
        outcome = await this.#connection(watched, signal, seen);
      } catch (error) {
        if (signal.aborted) throw error;
        problem = error instanceof Problem ? error : new Problem(0, 'the stream broke off');
      }
      if (outcome?.kind === 'unsupported') return this.#barStream(outcome.reason, outcome.isOfView);
      if (seen.events > 0) failures = 0;
      lastId = seen.id;
      failures += 1;
      if (failures > STREAM_FAILURES_MAX)
        return this.#barStream(problem?.message ?? 'the stream keeps breaking off', false);
      const pauseMs = Math.max(backoffMs(failures, this.#world.random()), problem?.retryAfterMs ?? 0);
      if (problem) this.#tell('failing', problem.message, this.#world.now() + pauseMs);
      await sleep(pauseMs, signal);
    }
  }

  #barStream(reason: string, isOfView: boolean): void {
    this.#unsupported = { untilMs: this.#world.now() + STREAM_RETRY_MS, reason, isOfView };
  }

  async #connection(watched: Watched, signal: AbortSignal, seen: { id?: string | undefined; events: number }) {
    const silence = new AbortController();
    const either = AbortSignal.any([signal, silence.signal]);
    let timer = setTimeout(() => silence.abort(), STREAM_FIRST_MS);
    const heard = () => {
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), seen.events > 0 ? STREAM_SILENCE_MS : STREAM_FIRST_MS);
    };
    try {
      const headers: Record<string, string> = { accept: 'text/event-stream' };
      if (seen.id !== undefined) headers['last-event-id'] = seen.id;
      const address = url('live', this.#place(watched));
      const response = await this.#world.fetch(address, { headers, cache: 'no-store', signal: either });
      const refusal = await refusalOf(response);
      if (refusal) return refusal;
      return await this.#read(response, watched, seen, heard);
    } catch (error) {
      if (signal.aborted || error instanceof Problem) throw error;
      throw new Problem(0, silence.signal.aborted ? 'the stream stays silent' : 'the stream broke off');
    } finally {
      clearTimeout(timer);
      // Leaves no connection open behind.
      silence.abort();
    }
  }

  async #read(
    response: Response,
    watched: Watched,
    seen: { id?: string | undefined; events: number },
    heard: () => void,
  ): Promise<Outcome> {
    const reader = new EventReader();
    const body = response.body;
    if (!body) return { kind: 'unsupported', reason: 'this browser cannot read streams', isOfView: false };
    const pieces = body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await pieces.read();
      if (done) return { kind: 'again' };
      for (const event of reader.push(value)) {
        this.#hand(event, watched);
        seen.events += 1;
        // After a gap a snapshot follows. Should the stream end before, everything is wanted anew: no id says so.
        seen.id = event.name === 'gap' ? undefined : (event.id ?? seen.id);
        this.#tell('streaming');
      }
      // The first bytes may be a comment of a proxy: only events make a stream one.
      heard();
    }
  }

  #hand(event: StreamEvent, watched: Watched): void {
    if (event.name === 'snapshot') this.#listener.snapshot(JSON.parse(event.data) as CellsAnswer, watched);
    if (event.name === 'delta') this.#listener.delta(JSON.parse(event.data) as CellsAnswer, watched);
    if (event.name === 'gap') this.#listener.gap();
  }

  /** Waits after a failure; false when trying again is of no use. */
  async #afterFailure(error: unknown, failures: number, signal: AbortSignal): Promise<boolean> {
    if (signal.aborted || !(error instanceof Problem)) throw error;
    if (error.parameter === 'res') {
      this.#listener.tooFine();
      return false;
    }
    if (!error.isPassing) {
      this.#tell('failing', error.message);
      return false;
    }
    const pauseMs = Math.max(backoffMs(failures, this.#world.random()), error.retryAfterMs ?? 0);
    this.#tell('failing', error.message, this.#world.now() + pauseMs);
    await sleep(pauseMs, signal);
    return true;
  }

  #ask(watched: Watched, signal: AbortSignal, before: Tagged<CellsAnswer> | undefined) {
    return ask<CellsAnswer>(this.#world.fetch, url('cells', this.#parameters(watched)), signal, before);
  }

  #parameters(watched: Watched): Parameters {
    const range = rangeOf(watched.time, watched.period, this.#world.now());
    return { ...this.#place(watched), from: range.fromMs, to: range.toMs };
  }

  #place(watched: Watched): Parameters {
    return {
      tenant: watched.tenant,
      metric: watched.metric,
      agg: watched.aggregate,
      period: watched.period,
      res: watched.resolution,
      bbox: boxText(watched.box),
    };
  }

  #tell(mode: Status['mode'], reason?: string, retryAtMs?: number): void {
    this.#listener.status({ mode, reason, retryAtMs });
  }
}

/** Whether and why there is no stream. Trouble that passes is an error, to be tried again. */
async function refusalOf(response: Response): Promise<Outcome | undefined> {
  if (response.ok && response.headers.get('content-type')?.startsWith('text/event-stream')) return undefined;
  const unsupported = (reason: string, isOfView: boolean) => ({ kind: 'unsupported', reason, isOfView }) as const;
  if (response.ok) return unsupported('something on the way answers for the stream', false);
  const problem = await problemOf(response);
  if (problem.isPassing) throw problem;
  if (problem.status === 404) return unsupported('the server does not stream', false);
  return unsupported(problem.message, true);
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(new DOMException('no longer wanted', 'AbortError'));
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', stop);
      resolve();
    }, ms);
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
  });
}

/** Nothing more comes for this view; only another one helps. */
function forever(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const stop = () => reject(new DOMException('no longer wanted', 'AbortError'));
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
  });
}
