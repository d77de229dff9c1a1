/** The program under test: the real `meridian up`, and what is around it: devices that publish, and its ClickHouse. */

import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** An unoptimised build on a busy machine needs some seconds. */
const READY_MS_MAX = 120_000;
const STOPPED_MS_MAX = 30_000;

/** What is run, as `cargo xtask test` names it. */
function executable(): string {
  const program = process.env['MERIDIAN_PROGRAM'];
  if (!program) throw new Error('name the program in `MERIDIAN_PROGRAM`; `cargo xtask test` does');
  return program;
}

/** A key as `meridian keys new` shows it, once. */
export interface Key {
  id: string;
  key: string;
}

interface Endpoints {
  mqtt: string;
  clickhouse: string;
  http: string;
  metrics: string;
}

export class Program {
  readonly #folder = mkdtempSync(join(tmpdir(), 'meridian-browser-'));
  #process!: ChildProcess;
  #output: string[] = [];
  /** Others after each start. */
  endpoints!: Endpoints;

  private constructor() {}

  /** Starts it on free ports, with more options if there are any, and waits until it is ready. */
  static async start(...options: string[]): Promise<Program> {
    const program = new Program();
    await program.#run(options);
    return program;
  }

  /** Stops it, and starts it on the same data with other options. */
  async restart(...options: string[]): Promise<void> {
    await this.#end();
    await this.#run(options);
  }

  /** Ctrl-C, as a person would. */
  async stop(): Promise<void> {
    await this.#end();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #run(options: string[]): Promise<void> {
    const data = join(this.#folder, 'data');
    const file = join(data, 'endpoints.json');
    rmSync(file, { force: true });
    const ports = ['mqtt', 'clickhouse', 'http', 'metrics'].flatMap((name) => [`--${name}-port`, '0']);
    const child = spawn(executable(), ['up', '--data-dir', data, ...ports, ...options], { cwd: this.#folder });
    this.#process = child;
    this.#output = [];
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes) => this.#output.push(String(bytes)));
    const deadline = Date.now() + READY_MS_MAX;
    while (!existsSync(file)) {
      if (Date.now() > deadline || child.exitCode !== null) {
        child.kill('SIGKILL');
        throw new Error(`it does not become ready:\n${this.#output.join('')}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    this.endpoints = JSON.parse(readFileSync(file, 'utf8')) as Endpoints;
  }

  async #end(): Promise<void> {
    if (this.#process.exitCode === null) {
      const stopped = new Promise((resolve) => this.#process.once('exit', resolve));
      this.#process.kill('SIGINT');
      const timer = setTimeout(() => this.#process.kill('SIGKILL'), STOPPED_MS_MAX);
      await stopped;
      clearTimeout(timer);
    }
    if (this.#process.exitCode !== 0) throw new Error(`it did not stop well:\n${this.#output.join('')}`);
  }

  /** One number from ClickHouse, asked directly. */
  async number(sql: string): Promise<number> {
    const response = await fetch(`${this.endpoints.clickhouse}/?database=meridian`, { method: 'POST', body: sql });
    const text = await response.text();
    if (!response.ok) throw new Error(`ClickHouse: ${text}`);
    return Number(text);
  }

  /** `meridian keys …`, as whoever operates it would. */
  async keys(...words: string[]): Promise<Key> {
    const where = ['--data-dir', join(this.#folder, 'data'), '--format', 'json'];
    const { stdout } = await promisify(execFile)(executable(), ['keys', ...words, ...where], { cwd: this.#folder });
    return JSON.parse(stdout) as Key;
  }

  /** Publishes to `telemetry/…`, and returns when everything is acknowledged. */
  async publish(messages: readonly { topic: string; payload: string }[]): Promise<void> {
    const { hostname, port } = new URL(this.endpoints.mqtt);
    const socket = connect(Number(port), hostname);
    try {
      await converse(socket, messages);
    } finally {
      socket.destroy();
    }
  }
}

/** As much of MQTT 3.1.1 as a device needs: CONNECT, PUBLISH with QoS 1, and their acknowledgements. */
async function converse(socket: Socket, messages: readonly { topic: string; payload: string }[]): Promise<void> {
  let received = Buffer.alloc(0);
  let wake = () => {};
  socket.on('data', (bytes) => {
    received = Buffer.concat([received, bytes]);
    wake();
  });
  socket.on('close', () => wake());
  const text = (value: string) => {
    const bytes = Buffer.from(value);
    return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes]);
  };
  const packet = (kind: number, ...parts: Buffer[]) => {
    const body = Buffer.concat(parts);
    const length: number[] = [];
    let rest = body.length;
    do {
      length.push((rest % 128) + (rest >= 128 ? 128 : 0));
      rest = Math.floor(rest / 128);
    } while (rest > 0);
    socket.write(Buffer.concat([Buffer.from([kind, ...length]), body]));
  };
  /** Acknowledgements of both kinds are four bytes long. */
  const acknowledged = async (kind: number) => {
    while (received.length < 4) {
      if (socket.destroyed) throw new Error('the broker closed the connection');
      await new Promise<void>((resolve) => (wake = resolve));
    }
    if (received[0] !== kind) throw new Error(`the broker answered ${received[0]}`);
    received = received.subarray(4);
  };
  packet(0x10, text('MQTT'), Buffer.from([4, 2, 0, 60]), text(`browser-test-${process.pid}-${Date.now()}`));
  await acknowledged(0x20);
  let id = 0;
  for (const { topic, payload } of messages) {
    id += 1;
    packet(0x32, text(topic), Buffer.from([id >> 8, id & 0xff]), Buffer.from(payload));
  }
  for (let left = id; left > 0; left -= 1) await acknowledged(0x40);
}
