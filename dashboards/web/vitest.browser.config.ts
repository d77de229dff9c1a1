/** Tests in a real browser, on the real program. One at a time: they share both. */

import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['browser/**/*.test.ts'],
    fileParallelism: false,
    // Machines that test have few cores and no graphics card.
    testTimeout: 120_000,
    hookTimeout: 300_000,
    bail: 0,
  },
});
