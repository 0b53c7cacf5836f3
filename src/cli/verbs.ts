import { RollcallError, type Client } from '../client/index.js';
import type { Port, Registration, Status } from '../contract/index.js';
import { instancesTable, type Screen } from './print.js';

export interface Talk {
  client: Client;
  out: Screen;
  coloured: boolean;
}

export interface ListOptions {
  type?: string;
  group?: string;
  status?: string;
  label?: Record<string, string>;
  offline?: boolean;
  json?: boolean;
}

export interface RegisterOptions {
  type: string;
  group?: string;
  id?: string;
  incarnation?: string;
  hostname?: string;
  port?: Port[];
  label?: Record<string, string>;
  status?: Status;
  ttl?: number;
}

export const say = ({ out }: Pick<Talk, 'out'>, value: unknown) => void out.write(`${JSON.stringify(value, undefined, 2)}\n`);

export async function list({ client, out, coloured }: Talk, { type, group, status, label, offline, json }: ListOptions) {
  const query = { ...(type && { type }), ...(group && { group }), ...(status && { status: status.split(',') as Status[] }), ...(label && { labels: label }), ...(offline && { offline }) };
  const instances = await client.list(query);
  if (json) say({ out }, instances);
  else out.write(instancesTable(instances, Date.now(), coloured));
}

export async function get({ client, out }: Talk, id: string) {
  const found = await client.get(id);
  if (!found) throw new RollcallError('instance_not_found', `no live instance '${id}'`);
  say({ out }, found);
}

export function registrationOf({ type, group, id, incarnation, hostname, port, label, status }: RegisterOptions, fallbackHost: string): Omit<Registration, 'performance'> {
  return {
    type,
    hostname: hostname ?? fallbackHost,
    ...(group && { group }),
    ...(id && { instanceId: id }),
    ...(incarnation && { incarnation }),
    ...(port && { ports: port }),
    ...(label && { labels: label }),
    ...(status && { status }),
  };
}

export async function register({ client, out }: Talk, options: RegisterOptions, fallbackHost: string) {
  say({ out }, await client.register({ ...registrationOf(options, fallbackHost), ...(options.ttl && { ttlSeconds: options.ttl }) }));
}

export async function heartbeat({ client, out }: Talk, id: string, { incarnation }: { incarnation?: string }) {
  say({ out }, await client.heartbeat(id, incarnation ? { incarnation } : {}));
}

export async function setStatus({ client, out }: Talk, id: string, status: Status, customState: string | undefined) {
  const { status: now, customState: text } = await client.updateStatus(id, status, customState);
  out.write(`${id} is ${now}${text === undefined ? '' : `: ${text}`}\n`);
}

export async function cordon({ client, out }: Talk, id: string, { off }: { off?: boolean }) {
  const { cordoned } = await client.patch(id, { cordoned: !off });
  out.write(`${id} is ${cordoned ? 'cordoned: it stays listed, and those who choose skip it' : 'no longer cordoned'}\n`);
}

export async function remove({ client, out }: Talk, id: string, { incarnation }: { incarnation?: string }) {
  if (!(await client.remove(id, undefined, undefined, incarnation))) throw new RollcallError('instance_not_found', `no instance '${id}'`);
  out.write(`${id} is removed\n`);
}

export async function evict({ client, out }: Talk, type: string, group: string) {
  const was = await client.release(type, group);
  out.write(was ? `${type}/${group} is no longer held: those past their lease leave\n` : `${type}/${group} was not held\n`);
}
