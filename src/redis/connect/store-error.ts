import { RegistryError } from '../../registry/errors.js';

/** What Redis refuses with, by the first word of its reply (https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors), and what that means here. */
const REFUSALS: Record<string, string> = {
  READONLY: 'a failover of the registry store is under way',
  MASTERDOWN: 'a failover of the registry store is under way',
  NOREPLICAS: 'too few replicas follow the registry store for it to take writes (min-replicas-to-write)',
  CLUSTERDOWN: 'the Cluster has no primary for the registry at the moment',
  LOADING: 'the registry store is reading its data',
  BUSY: 'a script blocks the registry store',
  OOM: 'the registry store is full',
  MISCONF: 'the registry store cannot save to its disk',
  NOAUTH: "the registry store refuses the gateway's user",
  WRONGPASS: "the registry store refuses the gateway's user",
  NOPERM: "the registry store refuses the gateway's user",
  LATE: 'the registry store came to it too late', // lua/include/deadline.lua
  WRONGTYPE: 'a key of the registry was spoilt by hand',
};
const SILENT = 'the registry store did not answer in time or refused';

/** Any failure of Redis, as callers see it. What Redis said stays in `cause`, for the log only. */
export function storeUnavailable(cause: unknown): RegistryError {
  if (cause instanceof RegistryError) return cause;
  const message = cause instanceof Error ? cause.message : '';
  const said = message.startsWith("Stream isn't writeable") ? new Error('not connected to Redis') : cause; // ioredis' words for it help nobody at 3 a.m.
  const why = REFUSALS[/^-?([A-Z]+)\b/.exec(message)?.[1] ?? ''] ?? SILENT;
  return new RegistryError('store_unavailable', `${why}: try again`, { cause: said });
}
