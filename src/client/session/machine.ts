// Loaded on demand: a browser has none of it.
import { connect } from 'node:net';
import os from 'node:os';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Registration } from '../../contract/index.js';

/** What a server can say of itself without being told. */
export type Machine = Pick<Registration, 'hostname' | 'privateIp' | 'systemInfo'>;

/** Of the address that a socket towards the gateway, or Redis, has at this end: that of the main network card. */
const CONNECT_WITHIN_MS = 1000;
const LOOPBACK = /^(127\.|::1$|::ffff:127\.)/;

/** Without `towards` no address is looked for. */
export async function describeMachine(towards: string | undefined): Promise<Partial<Machine>> {
  const [cpu] = os.cpus();
  const systemInfo = { os: os.platform(), release: os.release(), arch: os.arch(), cpus: os.cpus().length, cpu: cpu?.model ?? 'unknown', memoryMb: Math.round(os.totalmem() / 2 ** 20) };
  const privateIp = towards === undefined ? undefined : await localAddress(new URL(towards));
  return { hostname: os.hostname(), systemInfo, ...(privateIp !== undefined && { privateIp }) };
}

/** Undefined for a loopback address, which says nothing to other machines: then the gateway says what it sees. */
async function localAddress({ hostname, port, protocol }: URL): Promise<string | undefined> {
  const socket = connect({ host: hostname.replace(/^\[|\]$/g, ''), port: Number(port) || (protocol === 'https:' ? 443 : protocol.startsWith('redis') ? 6379 : 80) });
  try {
    return await new Promise<string | undefined>((resolve) => {
      socket.once('connect', () => resolve(socket.localAddress)).once('error', () => resolve(undefined));
      setTimeout(() => resolve(undefined), CONNECT_WITHIN_MS).unref();
    }).then((address) => (address === undefined || LOOPBACK.test(address) ? undefined : address.replace(/^::ffff:/, '')));
  } finally {
    socket.destroy();
  }
}

const round = (number: number) => Math.round(number * 100) / 100;

/** Load of the machine for each core, memory of this process, and for how long its event loop kept others waiting since the last question. */
export function watchPerformance(): () => Record<string, number> {
  const lag = monitorEventLoopDelay({ resolution: 20 });
  lag.enable();
  return () => {
    const lagMs = round(Math.max(0, lag.max / 1e6 - 20));
    lag.reset();
    return { load: round((os.loadavg()[0] ?? 0) / os.cpus().length), memoryMb: Math.round(process.memoryUsage.rss() / 2 ** 20), lagMs };
  };
}
