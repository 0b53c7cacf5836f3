import type { Instance, InstancePatch } from '../../contract/index.js';
import { homeKey } from '../home.js';
import type { Effect } from './pending.js';
import { isoOf } from '../log/record.js';
import type { CompleteRegistration } from '../registry.js';
import { msOfId, parseRevision } from '../revision.js';

/** What a registration makes of an instance, as register.lua does it, without asking the store what it wrote. */
export function registered(registration: CompleteRegistration, revision: string): Effect {
  return (before) => {
    const at = isoOf(msOfId(parseRevision(revision)?.id ?? '0-0'));
    const same = before?.incarnation === registration.incarnation && homeKey(before) === homeKey(registration);
    return {
      ...registration,
      cordoned: before?.cordoned ?? false, // an operator's word outlives the process
      labels: registration.labels ?? {},
      ...(same && before.health && { health: before.health }),
      ...(same && before.performance && !registration.performance && { performance: before.performance }),
      registeredAt: same ? before.registeredAt : at,
      updatedAt: at,
      lastHeartbeat: at,
      expiresAt: at,
    };
  };
}

/** What a heartbeat that carries a patch makes of an instance. */
export function patched({ status, customState, labels }: InstancePatch, revision: string): Effect {
  return (before) => {
    if (!before) return undefined;
    const { customState: said, ...rest } = before;
    const state = customState === undefined ? said : customState || undefined;
    return {
      ...rest,
      ...(status && { status }),
      ...(state !== undefined && { customState: state }),
      labels: labels ? merged(before.labels, labels) : before.labels,
      updatedAt: isoOf(msOfId(parseRevision(revision)?.id ?? '0-0')),
    };
  };
}

const merged = (stood: Instance['labels'], patch: NonNullable<InstancePatch['labels']>) =>
  Object.fromEntries(Object.entries({ ...stood, ...patch }).filter((pair): pair is [string, string] => pair[1] !== null));
