import type { HeartbeatReply } from '../../contract/index.js';
import { RegistryError } from '../../registry/errors.js';
import { heartbeatIntervalMs } from '../../registry/lease.js';
import { tooManyLabels } from '../../registry/refusals.js';
import type { Locks } from '../../registry/locks.js';
import type { Registry } from '../../registry/registry.js';
import type { Freshness } from '../../registry/queries.js';
import { CALLER, type Backend, type Search } from '../base/backend.js';
import { RollcallError } from '../base/errors.js';
import type { Settings } from '../base/options.js';

/** As long as a gateway allows unless it is told otherwise. */
const LEASE = { minSeconds: 2, maxSeconds: 3600 };
const opening = async ({ redisUrl = '', keyPrefix, log }: Settings) => {
  const [{ openDirect }, { completeRegistration }, { checks }] = await Promise.all([import('../../redis/direct.js'), import('../../registry/registration.js'), import('./checks.js')]);
  return { registry: await openDirect({ redisUrl, prefix: keyPrefix, log }), completeRegistration, checks };
};
type Opened = Awaited<ReturnType<typeof opening>>;
type Ask = <T>(call: (registry: Opened['registry'], opened: Opened) => Promise<T>) => Promise<T>;

/** The registry by its Redis, connected with the first call, and again by itself. Needs the package ioredis. */
export function redisBackend(settings: Settings): Backend {
  let opened: Promise<Opened> | undefined;
  const open = () => (opened ??= opening(settings).catch((error: unknown) => {
    opened = undefined; // the next call tries again
    throw error;
  }));
  const ask: Ask = async (call) => {
    try {
      const now = await open();
      return await call(now.registry, now);
    } catch (error) {
      throw asOurs(error);
    }
  };
  const pace = (ttlMs: number) => heartbeatIntervalMs(ttlMs, settings.heartbeatIntervalMs);

  return {
    announce: (registration) =>
      ask(async (registry, { completeRegistration, checks }) => {
        checks.registration(registration);
        const complete = completeRegistration(registration, { defaultSeconds: settings.ttlSeconds, ...LEASE }, undefined);
        const { instanceId, incarnation, ttlSeconds } = complete;
        const { revision } = await registry.register(complete, CALLER);
        return { instanceId, incarnation, ttlSeconds, heartbeatIntervalMs: pace(ttlSeconds * 1000), revision };
      }),
    beat: (beat) =>
      ask(async (registry, { checks }): Promise<HeartbeatReply> => {
        checks.beat(beat);
        const [result] = await registry.heartbeat([beat]);
        if (result?.status === 400) throw tooManyLabels();
        if (result?.status !== 200) throw new RollcallError(result?.code ?? 'internal', result?.detail ?? `'${beat.instanceId}': ${result?.code}`);
        return { nextHeartbeatMs: pace(result.ttlMs), expiresAt: new Date(result.expiresAtMs).toISOString(), revision: result.revision };
      }),
    ...verbs(ask),
    locks: locksBy(ask),
    async *watch(query, from, signal, up) {
      try {
        yield* (await open()).registry.watch(query, from, signal, up);
      } catch (error) {
        throw asOurs(error);
      }
    },
    close: async () => {
      const now = await opened?.catch(() => undefined);
      await now?.registry.close();
    },
  };
}

function verbs(ask: Ask): Omit<Registry, 'watch'> {
  return {
    register: (registration, caller) =>
      ask((registry, { checks }) => {
        checks.registration(registration);
        return registry.register(registration, caller);
      }),
    heartbeat: (beats) =>
      ask((registry, { checks }) => {
        beats.forEach(checks.beat);
        return registry.heartbeat(beats);
      }),
    patch: (id, patch, ...rest) =>
      ask((registry, { checks }) => {
        checks.id(id);
        checks.patch(patch);
        return registry.patch(id, patch, ...rest);
      }),
    remove: (id, ...rest) =>
      ask((registry, { checks }) => {
        checks.id(id);
        return registry.remove(id, ...rest);
      }),
    release: (...args) => ask((registry) => registry.release(...args)),
    find: (id, need) => ask((registry) => registry.find(id, need)),
    discover: ({ healthCheck, ...query }: Search, need?: Freshness) =>
      healthCheck
        ? Promise.reject(new RollcallError('invalid_request', 'healthCheck: only a gateway connects to instances; use mode http'))
        : ask((registry) => registry.discover(query, need)),
    groups: (need) => ask((registry) => registry.groups(need)),
    history: (query) => ask((registry) => registry.history(query)),
  };
}

function locksBy(ask: Ask): Locks {
  return {
    acquire: (name, attempt) =>
      ask(({ locks }, { checks }) => {
        const { owner, lease, ttlMs, waitMs } = attempt;
        checks.lock(name, { owner, lease, ttlSeconds: ttlMs / 1000, waitMs });
        return locks.acquire(name, attempt);
      }),
    renew: (name, lease, ttlMs) => ask(({ locks }) => locks.renew(name, lease, ttlMs)),
    release: (name, lease) => ask(({ locks }) => locks.release(name, lease)),
    look: (name) => ask(({ locks }) => locks.look(name)),
  };
}

function asOurs(error: unknown): RollcallError {
  if (error instanceof RollcallError) return error;
  if (error instanceof RegistryError) return new RollcallError(error.code, error.message, { cause: error, ...(error.details.errors && { errors: error.details.errors }) });
  const { message, code } = error as Error & { code?: string };
  if (code === 'ERR_MODULE_NOT_FOUND') return new RollcallError('invalid_request', 'mode redis needs the package ioredis: npm install ioredis', { cause: error });
  return new RollcallError('unreachable', message, { cause: error });
}
