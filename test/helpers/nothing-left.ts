import { beforeAll } from 'vitest';
import { until } from './until.js';

/** What a file must have ended when its tests are over: a child, a server, or work that goes on in every turn of the event loop. */
const ENDED = ['ProcessWrap', 'TCPServerWrap', 'Immediate'];

/** The next file runs in the same process: what is left there takes its time, and may be taken for its own. */
async function expectNothingLeft() {
  const left = () => process.getActiveResourcesInfo().filter((kind) => ENDED.includes(kind));
  await until(() => left().length === 0).catch(() => {
    throw new Error(`the tests of this file left behind: ${left().join(', ')}`);
  });
}

// What the first of these returns is called last of all.
beforeAll(() => expectNothingLeft, 20_000);
