import { connect } from 'node:net';
import type { Instance } from '../contract/index.js';
import type { Prober } from '../registry/prober.js';
import { mayProbe, parseNetwork, type Network } from './networks.js';

const DEFAULT_TIMEOUT_MS = 1000;
const MAX_TIMEOUT_MS = 2000;
/** Sockets open at once over all requests of this process. */
const MAX_SOCKETS = 128;

interface Target {
  address: string;
  port: number;
  timeoutMs: number;
}

/** Where an instance can be asked by TCP: its check's port or its first TCP port, at an address literal that is allowed. */
function targetOf({ check, ports, privateIp, publicIp }: Instance, networks: Network[]): Target | undefined {
  const port = check?.port ?? ports.find(({ protocol }) => protocol !== 'udp')?.port;
  const address = [privateIp, publicIp].find((ip) => ip !== undefined && mayProbe(ip, networks));
  if (port === undefined || address === undefined) return undefined;
  return { address, port, timeoutMs: Math.min(check?.timeoutMs ?? DEFAULT_TIMEOUT_MS, MAX_TIMEOUT_MS) };
}

function accepts({ address, port, timeoutMs }: Target): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port });
    const finish = (passing: boolean) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(passing);
    };
    const timer = setTimeout(() => finish(false), timeoutMs);
    socket.once('connect', () => finish(true)).once('error', () => finish(false));
  });
}

/** Probes by opening a TCP connection and closing it: nothing is sent, read or resolved. */
export function createTcpProber(cidrs: string[]): Prober {
  const networks = cidrs.map(parseNetwork);
  const slots = semaphore(MAX_SOCKETS);
  return async (instances) => {
    let unchecked = 0;
    const passing = await Promise.all(
      instances.map((instance) => {
        const target = targetOf(instance, networks);
        if (target) return slots(() => accepts(target));
        unchecked++;
        return Promise.resolve(true);
      }),
    );
    return { passing: instances.filter((_, i) => passing[i]), unchecked };
  };
}

function semaphore(size: number) {
  let free = size;
  const waiting: (() => void)[] = [];
  return async <T>(work: () => Promise<T>): Promise<T> => {
    if (free === 0) await new Promise<void>((resolve) => waiting.push(resolve));
    else free--;
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next) next();
      else free++;
    }
  };
}
