import { invalidField, RegistryError } from './errors.js';
import type { Home } from './home.js';
import { inScope, type Scope } from './scope.js';

/** `epoch`: of the store that says so. */
export const notFound = (id: string, advice = '', epoch?: string) =>
  new RegistryError('instance_not_found', `no live instance '${id}' here${advice}`, { ...(epoch !== undefined && { epoch }) });

export const stale = (id: string, epoch?: string) =>
  new RegistryError('stale_incarnation', `another process owns '${id}' now: do not register it again`, { ...(epoch !== undefined && { epoch }) });

export const tooManyLabels = () => invalidField('/labels', 'must leave at most 32 labels once merged');

export const forbiddenHome = ({ type, group }: Home) =>
  new RegistryError('forbidden', `this token is not for type '${type}', group '${group}'`);

/** Says nothing of where the instance lives: that is not this token's to know. */
export const forbiddenInstance = (id: string) =>
  new RegistryError('forbidden', `this token is not for the type or group of instance '${id}'`);

/** @throws {RegistryError} forbidden, for a question about one group that is none of this token's. A wider one is only filtered. */
export function insistScope(scope: Scope | undefined, { type, group }: Partial<Home>) {
  if (type !== undefined && group !== undefined && !inScope(scope, { type, group })) throw forbiddenHome({ type, group });
}
