import { connect } from 'node:net';
import type { Instance } from '../contract/index.js';
import { RegistryError } from '../registry/errors.js';
import type { Prober } from '../registry/prober.js';
import { parseNetwork, type Network } from '../contract/index.js';
import { mayProbe } from './networks.js';

const DEFAULT_TIMEOUT_MS = 1000;
const MAX_TIMEOUT_MS = 2000;
const SOCKETS_PER_CALL = 64;
/** Health checks under way in this process; each has 64 sockets at most. */
const MAX_CALLS = 8;
const DEADLINE_MS = 4000;

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

/**
 * Probes by opening a TCP connection and closing it: nothing is sent, read or resolved. Each call has sockets and a
 * deadline of its own, so a slow fleet does not delay another's answer; what was not reached in time counts as unchecked.
 */
export function createTcpProber(cidrs: string[]): Prober {
  const networks = cidrs.map(parseNetwork);
  let calls = 0;
  return async (instances) => {
    if (calls === MAX_CALLS) throw new RegistryError('overloaded', 'too many health checks at once: try again');
    calls++;
    try {
      const outcomes = await probeAll(instances.map((instance) => targetOf(instance, networks)));
      const unchecked = outcomes.filter((outcome) => outcome === undefined).length;
      return { passing: instances.filter((_, i) => outcomes[i] !== false), unchecked };
    } finally {
      calls--;
    }
  };
}

/** Whether each target accepts; undefined for what cannot be asked, or was not in time. */
async function probeAll(targets: (Target | undefined)[]): Promise<(boolean | undefined)[]> {
  const deadline = performance.now() + DEADLINE_MS;
  const outcomes = Array.from<boolean | undefined>({ length: targets.length });
  const queue = targets.entries();
  const worker = async () => {
    for (const [i, target] of queue) {
      const leftMs = deadline - performance.now();
      if (target && leftMs > 0) outcomes[i] = await accepts({ ...target, timeoutMs: Math.min(target.timeoutMs, leftMs) });
    }
  };
  await Promise.all(Array.from({ length: SOCKETS_PER_CALL }, worker));
  return outcomes;
}
