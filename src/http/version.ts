import { createRequire } from 'node:module';

/** Of package.json: the one place where it stands. */
export const { version } = createRequire(import.meta.url)('../../package.json') as { version: string };
