import type { Instance, InstancePatch, Port } from '../../contract/index.js';
import { STATUSES } from '../../contract/index.js';
import type { Described } from '../../registry/log/record.js';
import type { CompleteRegistration } from '../../registry/registry.js';

type Fields = Record<string, string>;

const sorted = (labels: Record<string, string>) =>
  JSON.stringify(Object.fromEntries(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1))));

/** One registration as register.lua takes it. `home` is what the caller may move it from: '*' for anywhere. */
export function registerArgs(registration: CompleteRegistration, mode: 'register' | 'adopt', home: string, by: string): (string | number)[] {
  const { instanceId, type, group, incarnation, ttlSeconds } = registration;
  const fields = encodeRegistration(registration);
  return [8 + fields.length, instanceId, type, group, incarnation, ttlSeconds * 1000, mode, home, by, ...fields];
}

/** What a registration writes, as field, value, …; the script adds identity and times. An empty collection is absent. */
export function encodeRegistration(registration: Omit<CompleteRegistration, 'health'>): string[] {
  const { hostname, publicIp, privateIp, ports, status, customState, labels, systemInfo, performance, check } = registration;
  const fields = ['hostname', hostname, 'status', status];
  if (publicIp !== undefined) fields.push('publicIp', publicIp);
  if (privateIp !== undefined) fields.push('privateIp', privateIp);
  if (ports.length > 0) fields.push('ports', JSON.stringify(ports));
  if (customState) fields.push('customState', customState);
  if (labels && Object.keys(labels).length > 0) fields.push('labels', sorted(labels));
  if (systemInfo) fields.push('systemInfo', JSON.stringify(systemInfo));
  if (performance) fields.push('performance', JSON.stringify(performance));
  if (check) fields.push('check', JSON.stringify(check));
  return fields;
}

/** A whole instance, as field, value, …, but for the end of its lease: a restored one has another. */
export function encodeInstance(instance: Instance): string[] {
  const { instanceId, type, group, incarnation, ttlSeconds, cordoned, health, registeredAt, updatedAt, lastHeartbeat } = instance;
  const fields = { instanceId, type, group, incarnation, ttlSeconds: String(ttlSeconds), registeredAt, updatedAt, lastHeartbeat };
  const flat = [...Object.entries(fields).flat(), ...encodeRegistration(instance)];
  if (cordoned) flat.push('cordoned', '1');
  if (health) flat.push('health', JSON.stringify(health));
  return flat;
}

/** The parts of a patch as the scripts take them; '' where a part is absent. */
export function encodePatch({ status, customState, labels }: InstancePatch): [status: string, customState: string, labels: string] {
  const state = customState === undefined ? '' : customState === null || customState === '' ? '-' : `=${customState}`;
  return [status ?? '', state, labels ? JSON.stringify(labels) : ''];
}

/** Reads `field, value, …`, as scripts reply it. */
export function pairs(flat: readonly string[]): Fields {
  const fields: Fields = {};
  for (let i = 0; i + 1 < flat.length; i += 2) fields[flat[i] as string] = flat[i + 1] as string;
  return fields;
}

function json<T>(text: string | undefined, accept: (value: unknown) => value is T): T | undefined {
  if (text === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return accept(value) ? value : undefined;
  } catch {
    return undefined; // spoilt by hand: the rest of the record is still worth showing
  }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isLabels = (value: unknown): value is Record<string, string> =>
  isObject(value) && Object.values(value).every((text) => typeof text === 'string');
const isPorts = (value: unknown): value is Port[] =>
  Array.isArray(value) && value.every(isPort);
const isPort = (item: unknown) =>
  isObject(item) && Number.isInteger(item.port) && (item.port as number) >= 1 && (item.port as number) <= 65_535 &&
  typeof item.protocol === 'string' && (item.name === undefined || typeof item.name === 'string');
const isAny = <T>(value: unknown): value is T => isObject(value);

/** Fleets share their labels, ports and systems: with more than these, or longer ones, each record has its own. */
const TEXTS_KEPT = 1000;
const TEXT_LETTERS = 500;

/** Reads a field of JSON. The same text gives the same object, which nobody may change. */
function shared<T extends object>(accept: (value: unknown) => value is T, prepared = (value: T) => value) {
  const known = new Map<string, T>();
  return (text: string | undefined): T | undefined => {
    const kept = text === undefined ? undefined : known.get(text);
    if (kept) return kept;
    const read = json(text, accept);
    if (text === undefined || text.length > TEXT_LETTERS || !read) return read;
    if (known.size >= TEXTS_KEPT) known.clear();
    const value = Object.freeze(prepared(read));
    known.set(text, value);
    return value;
  };
}

const labelsOf = shared(isLabels, (labels) => Object.fromEntries(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1))));
const portsOf = shared(isPorts);
const systemOf = shared(isObject);
const checkOf = shared(isAny<NonNullable<Instance['check']>>);

/**
 * An instance from its Hash, all parts named. Unknown fields are ignored, so versions N and N-1 run side by side; a nested field that
 * does not parse is left out, so one spoilt Hash never hides the others.
 */
export function decodeDescribed(fields: Partial<Fields>): Described {
  const ttlSeconds = Number(fields.ttlSeconds);
  return {
    instanceId: fields.instanceId ?? '',
    incarnation: fields.incarnation ?? '',
    type: fields.type ?? '',
    group: fields.group ?? '',
    hostname: fields.hostname ?? '',
    publicIp: fields.publicIp,
    privateIp: fields.privateIp,
    ports: portsOf(fields.ports) ?? [],
    status: STATUSES.find((status) => status === fields.status) ?? 'ready',
    customState: fields.customState,
    cordoned: fields.cordoned === '1',
    labels: labelsOf(fields.labels) ?? {},
    systemInfo: systemOf(fields.systemInfo),
    performance: performanceOf(fields.performance),
    check: checkOf(fields.check),
    health: json(fields.health, isAny<NonNullable<Instance['health']>>),
    suspect: fields.suspect === '1' ? true : undefined,
    ttlSeconds: Number.isSafeInteger(ttlSeconds) ? ttlSeconds : 0,
    registeredAt: fields.registeredAt ?? '',
    updatedAt: fields.updatedAt ?? '',
    lastHeartbeat: fields.lastHeartbeat ?? '',
    expiresAt: fields.expiresAt ?? '',
  };
}

export const performanceOf = (text: string | undefined) => json(text, isObject);

/** The same, without the parts that are absent. */
export const decodeInstance = (fields: Partial<Fields>) => Object.fromEntries(Object.entries(decodeDescribed(fields)).filter(([, value]) => value !== undefined)) as unknown as Instance;

/** What a record holds that is read: of the fields of a newer version nothing is known. */
export const FIELDS = Object.keys(decodeDescribed({}));
