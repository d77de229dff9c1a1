/** Reads Server-Sent Events out of pieces of text, however they are cut. */

import { STREAM_EVENT_CHARACTERS_MAX } from '../limits';

export interface StreamEvent {
  name: string;
  data: string;
  id: string | undefined;
}

/** Collects text and gives out every event that is whole. */
export class EventReader {
  #rest = '';
  #data: string[] = [];
  #name = '';
  #size = 0;
  #id: string | undefined;

  /** Throws when an event grows beyond its bound. */
  push(piece: string): StreamEvent[] {
    const events: StreamEvent[] = [];
    const text = this.#rest + piece;
    // A `\r` at the end may be the first half of a line's end.
    const usable = text.endsWith('\r') ? text.length - 1 : text.length;
    const lines = text.slice(0, usable).split(/\r\n|\n|\r/);
    this.#rest = (lines.pop() ?? '') + text.slice(usable);
    for (const line of lines) {
      const event = this.#line(line);
      if (event) events.push(event);
    }
    if (this.#rest.length + this.#size > STREAM_EVENT_CHARACTERS_MAX) {
      throw new Error('an event of the stream is too long');
    }
    return events;
  }

  #line(line: string): StreamEvent | undefined {
    if (line === '') return this.#take();
    const colon = line.indexOf(':');
    // A comment: the heartbeat.
    if (colon === 0) return undefined;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'event') this.#name = value;
    if (field === 'id' && !value.includes('\0')) this.#id = value;
    if (field === 'data') {
      this.#data.push(value);
      this.#size += value.length;
    }
    return undefined;
  }

  #take(): StreamEvent | undefined {
    const event = { name: this.#name || 'message', data: this.#data.join('\n'), id: this.#id };
    const isEmpty = this.#data.length === 0;
    this.#data = [];
    this.#name = '';
    this.#size = 0;
    return isEmpty ? undefined : event;
  }
}
