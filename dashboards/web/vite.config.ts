/** Builds the page into `dist`, compresses every file, and fails when the page has grown too large. */

import { defineConfig, type Plugin } from 'vite';

import { checkSize, compressAll, empty } from './build.ts';

const finish: Plugin = {
  name: 'compress-and-measure',
  apply: 'build',
  buildStart() {
    empty('dist');
  },
  async closeBundle() {
    await compressAll('dist');
    checkSize('dist');
  },
};

const server = process.env['MERIDIAN_URL'] ?? 'http://127.0.0.1:8080';

export default defineConfig({
  plugins: [finish],
  build: {
    target: 'es2023',
    // The folder itself is in the repository; `build.ts` empties it.
    emptyOutDir: false,
    // Files are never written into the page: the policy of the server forbids `data:` for most of them.
    assetsInlineLimit: 0,
    reportCompressedSize: false,
    // Sizes are checked by us, compressed and in all.
    chunkSizeWarningLimit: 4_000,
    modulePreload: { polyfill: false },
  },
  worker: { format: 'es' },
  server: { proxy: Object.fromEntries(['/api', '/status', '/healthz'].map((path) => [path, server])) },
  test: { include: ['test/**/*.test.ts'] },
} as never);
