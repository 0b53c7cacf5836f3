import { expect, onTestFinished, test } from 'vitest';
import type { View } from '../../src/registry/view/view.js';
import { openRegistry } from '../helpers/gateway.js';
import { names, openGated, registerAll } from '../helpers/reader-view.js';
import { Trap } from '../helpers/redis-gate.js';
import { CALLER, complete } from '../helpers/store.js';
import { until } from '../helpers/until.js';
import { empty } from '../recovery/helpers/loss.js';

/** Looks at a view in every turn of the event loop. */
function always(look: () => void) {
  let on = true;
  const next = () => {
    look();
    if (on) setImmediate(next);
  };
  next();
  const stop = () => (on = false);
  onTestFinished(() => void stop());
  return stop;
}

const knows = (view: View, id: string) => view.table.members.has(id);

test.each([900, 2000])('with replies of Redis %i ms late no answer is older than a second and does not say so', { timeout: 30_000 }, async (ms) => {
  const opened = await openRegistry();
  const { gate, view } = await openGated(opened);
  gate.slow(ms);
  await new Promise((passed) => setTimeout(passed, 100)); // a read is under way that will not have it
  await opened.registry.register(complete({ instanceId: 'new' }), CALLER);
  const writtenAt = performance.now();
  let oldest = 0;
  const stop = always(() => {
    if (view.staleMs === undefined && !knows(view, 'new')) oldest = performance.now() - writtenAt;
  });
  await until(() => knows(view, 'new'), 10_000);
  stop();
  expect(oldest).toBeLessThan(1010);
});

test('while more is to be read than one read takes, answers say so, however young they are', async () => {
  const opened = await openRegistry();
  const { gate, view } = await openGated(opened);
  gate.slow(100);
  const all = names(700);
  const release = await new Promise<() => Promise<void>>((caught) => gate.arm(new Trap('evalsha', (_, letGo) => caught(letGo)))); // no read sees some of them
  await registerAll(opened.registry, all);
  const seen = { partly: 0, silent: 0 };
  const stop = always(() => {
    const { size } = view.table.members;
    if (size === 0 || size === all.length) return;
    seen.partly++;
    if (view.staleMs === undefined) seen.silent++;
  });
  void release();
  await until(() => view.staleMs === undefined && view.table.members.size === all.length);
  stop();
  expect(seen.partly).toBeGreaterThan(0);
  expect(seen.silent).toBe(0);
});

test('from the moment in which a replica finds that Redis has lost something, answers say so', async () => {
  const { registry, view, raw, keys } = await openRegistry();
  await registerAll(registry, names(5));
  await until(() => view.table.members.size === 5);
  let least = Infinity;
  const stop = always(() => {
    least = Math.min(least, view.staleMs ?? Infinity);
  });
  const { epoch } = view.table.position;
  await empty(raw, keys);
  await until(() => view.table.position.epoch !== epoch && view.staleMs === undefined);
  stop();
  expect(least).toBeLessThan(1000);
});
