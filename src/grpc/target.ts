import type { Instance } from '../contract/index.js';

/** Whom a target means: `sd:///<type>`, `sd:///<type>/<group>`, and of several ports which: `?port=<name>`. */
export interface Target {
  type: string;
  group: string | undefined;
  port: string | undefined;
}

/** @throws {Error} which says how a target is written. */
export function parseTarget(path: string): Target {
  const [names = '', query = ''] = path.replace(/^\/+/, '').split('?', 2);
  const [type = '', group, ...rest] = names.split('/').map(decodeURIComponent);
  if (type === '' || group === '' || rest.length > 0) throw new Error(`'sd:///${path}' is no target: write sd:///<type> or sd:///<type>/<group>, with ?port=<name> for one of several ports`);
  return { type, group, port: new URLSearchParams(query).get('port') ?? undefined };
}

/** Where an instance answers: at its address in its own network, else that for the world, else its name; undefined without such a port. */
export function addressOf({ privateIp, publicIp, hostname, ports }: Instance, name: string | undefined): { host: string; port: number } | undefined {
  const tcp = ports.filter(({ protocol }) => protocol === 'tcp');
  const chosen = name === undefined ? (tcp.find((port) => port.name === 'grpc') ?? tcp[0]) : tcp.find((port) => port.name === name);
  return chosen && { host: privateIp ?? publicIp ?? hostname, port: chosen.port };
}
