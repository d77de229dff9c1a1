/** Looks at the page as people see it: pictures for the documents, and how long it takes to come. Judges nothing. */

import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['browser/look/*.ts'],
    fileParallelism: false,
    testTimeout: 600_000,
    hookTimeout: 300_000,
  },
});
