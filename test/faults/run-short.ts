import { test } from 'vitest';
import { catalogue } from '../../bench/faults/catalogue/index.js';
import { SHORT, type Fault } from '../../bench/faults/scale.js';

/** A fault of the catalogue at a size for every run of the suite, beside the others of its block: it mostly waits. */
export function passes(name: string) {
  const fault = catalogue.find((each) => each.name === name) as Fault;
  test.concurrent(`${name}: ${fault.expectation}`, { timeout: 90_000 }, async ({ expect }) => {
    const { failures } = await fault.run(SHORT);
    expect(failures).toEqual([]);
  });
}
