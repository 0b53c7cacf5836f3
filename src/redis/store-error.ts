import { RegistryError } from '../registry/errors.js';

/** Any failure of Redis, as callers see it. What Redis said stays in `cause`, for the log only. */
export function storeUnavailable(cause: unknown): RegistryError {
  if (cause instanceof RegistryError) return cause;
  const offline = cause instanceof Error && cause.message.startsWith("Stream isn't writeable");
  const said = offline ? new Error('not connected to Redis') : cause; // ioredis' words for it help nobody at 3 a.m.
  return new RegistryError('store_unavailable', 'the registry store did not answer in time or refused: try again', { cause: said });
}
