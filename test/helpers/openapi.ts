import { pino } from 'pino';
import { stringify } from 'yaml';
import { buildApp } from '../../src/app.js';
import { createMetrics } from '../../src/http/metrics/metrics.js';
import { TokenStore } from '../../src/http/auth/tokens.js';
import type { RedisLocks } from '../../src/redis/locks/redis-locks.js';
import type { ServedRegistry } from '../../src/registry/served/served-registry.js';
import type { View } from '../../src/registry/view/view.js';

/** The OpenAPI document as the routes say it now. No handler runs, so no registry is needed. */
export async function renderOpenapi(): Promise<string> {
  const app = await buildApp({
    registry: {} as ServedRegistry,
    locks: { end: () => undefined } as RedisLocks,
    view: { end: () => undefined } as View,
    sessionSecret: () => undefined,
    tokens: new TokenStore([]),
    prober: (instances) => Promise.resolve({ passing: instances, unchecked: 0 }),
    metrics: createMetrics(),
    lease: { defaultSeconds: 30, minSeconds: 2, maxSeconds: 3600 },
    heartbeatIntervalMs: 10_000,
    log: pino({ level: 'silent' }),
    draining: () => false,
    storeReachable: () => true,
  });
  await app.ready();
  const document = app.swagger();
  await app.close();
  return stringify(document, { aliasDuplicateObjects: false, lineWidth: 120 });
}
