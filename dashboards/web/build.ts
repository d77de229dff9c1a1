/** Steps of the build that follow the bundler: compression, and the check of sizes. */

import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';

/** What a browser loads before anybody has done anything, compressed with gzip: a second on a slow line. */
const INITIAL_BYTES_MAX = 650_000;

/** What is loaded later or not at all: the finer coast. */
const LATER = /(^|\/)countries[^/]*$/;

const COMPRESSED = /\.(br|gz)$/;

function filesOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => !name.startsWith('.') && statSync(join(folder, name)).isFile())
    .sort();
}

/** Removes what an earlier build left. */
export function empty(folder: string): void {
  for (const name of readdirSync(folder)) {
    if (name !== '.gitignore') rmSync(join(folder, name), { recursive: true });
  }
}

/** Writes each file again as `.br` and `.gz`, where that saves anything: the server only has to hand them out. */
export async function compressAll(folder: string): Promise<void> {
  for (const name of filesOf(folder).filter((one) => !COMPRESSED.test(one) && !one.endsWith('.woff2'))) {
    const bytes = readFileSync(join(folder, name));
    const parameters = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length };
    writeFileSync(join(folder, `${name}.br`), brotliCompressSync(bytes, { params: parameters }));
    writeFileSync(join(folder, `${name}.gz`), gzipSync(bytes, { level: 9 }));
  }
}

/** Prints what is loaded, and throws when that is too much. */
export function checkSize(folder: string): void {
  let [initial, later] = [0, 0];
  const all = filesOf(folder);
  for (const name of all.filter((one) => !COMPRESSED.test(one))) {
    const sent = all.includes(`${name}.gz`) ? `${name}.gz` : name;
    const bytes = statSync(join(folder, sent)).size;
    const isLater = LATER.test(name);
    if (isLater) later += bytes;
    else initial += bytes;
    console.log(`${kilobytes(bytes)}  ${isLater ? 'later  ' : 'initial'}  ${name}`);
  }
  console.log(`${kilobytes(initial)}  initial in all (gzip; at most ${INITIAL_BYTES_MAX / 1_000} kB)`);
  console.log(`${kilobytes(later)}  later in all (gzip)`);
  if (initial > INITIAL_BYTES_MAX) {
    throw new Error(`the page has grown to ${initial} bytes, more than ${INITIAL_BYTES_MAX}: see what can come later`);
  }
}

function kilobytes(bytes: number): string {
  return `${(bytes / 1_000).toFixed(1).padStart(7)} kB`;
}
