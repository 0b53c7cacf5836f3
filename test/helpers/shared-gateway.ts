import { randomUUID } from 'node:crypto';
import { beforeAll, beforeEach } from 'vitest';
import { buildGateway, type GatewaySetup } from './gateway.js';
import { until } from './until.js';

type Gateway = Awaited<ReturnType<typeof buildGateway>>;

/**
 * Empties the registry at one moment, or the next pulse sees an outage. A replica that still knows what was in it would give it
 * all back: so this is a registry of which others say that they had read further, a year from now.
 */
export async function emptyRegistry({ raw, prefix, keys, view }: Gateway) {
  const left = await raw.keys(`${prefix}*`);
  const [now, nextYear] = [Date.now(), Date.now() + 365 * 86_400_000];
  const epoch = { id: randomUUID().replaceAll('-', ''), at: now - 10_000, head: '', freshest: nextYear };
  await raw.multi().del(keys.alive, ...left).set(keys.alive, now).hset(keys.epoch, epoch).exec();
  view.onWait(); // read now
  await until(() => view.position?.epoch === epoch.id, 5000, 2);
}

/** One gateway for all tests of a file, its registry empty before each: building one costs more than most tests do. */
export function sharedGateway(setup: GatewaySetup = {}): () => Gateway {
  let gateway: Gateway;
  beforeAll(async () => {
    const closers: (() => Promise<void>)[] = [];
    gateway = await buildGateway({ ...setup, cleanup: (close) => closers.push(close) });
    return async () => {
      for (const close of closers.reverse()) await close();
    };
  });
  beforeEach(async () => {
    await emptyRegistry(gateway);
  });
  return () => gateway;
}
