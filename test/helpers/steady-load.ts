import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { TOKEN } from './gateway.js';

export interface Reply {
  status: number;
  body: string;
}

/** One request as a plain client sends it: no retry of any kind. */
export function send(agent: Agent, url: string, method = 'GET', body?: string, more: Record<string, string> = {}): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const headers = { 'x-api-token': TOKEN, ...(body !== undefined && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }), ...more };
    const sent = request(url, { agent, method, headers, timeout: 10_000 }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: text })).on('error', reject);
    });
    sent.on('error', reject).on('timeout', () => sent.destroy(new Error('no answer for 10 s')));
    sent.end(body);
  });
}

export interface Load {
  /** Ends it, and waits for what is under way. */
  stop: () => Promise<{ heartbeats: number; discovers: number; failures: string[] }>;
}

const CALLERS = 8;
const PAUSE_MS = 10;

/** Callers on keep-alive sockets of their own, each in turn renewing one of these instances and discovering all of them. */
export function startLoad(url: string, query: string, ids: string[]): Load {
  const counts = { heartbeats: 0, discovers: 0, failures: [] as string[] };
  let stopped = false;

  const attempt = async (what: string, run: () => Promise<string | undefined>) => {
    const failure = await run().catch((error: Error) => error.message);
    if (failure !== undefined) counts.failures.push(`${new Date().toISOString()} ${what}: ${failure}`);
  };
  const heartbeat = async (agent: Agent, id: string) => {
    const { status, body } = await send(agent, `${url}/sd/v1/instances/${id}/heartbeat`, 'POST');
    counts.heartbeats++;
    return status === 200 ? undefined : `${status} ${body}`;
  };
  const discover = async (agent: Agent) => {
    const { status, body } = await send(agent, `${url}/sd/v1/instances?${query}`);
    counts.discovers++;
    if (status !== 200) return `${status} ${body}`;
    const found = (JSON.parse(body) as { instances: { instanceId: string }[] }).instances.map(({ instanceId }) => instanceId);
    return ids.every((id) => found.includes(id)) ? undefined : `only ${found.length} of ${ids.length} instances`;
  };
  const call = async (n: number) => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    for (let turn = n; !stopped; turn += CALLERS) {
      await attempt('heartbeat', () => heartbeat(agent, ids[turn % ids.length] as string));
      await attempt('discover', () => discover(agent));
      await sleep(PAUSE_MS);
    }
    agent.destroy();
  };
  const callers = Array.from({ length: CALLERS }, (_, n) => call(n));
  return {
    stop: async () => {
      stopped = true;
      await Promise.all(callers);
      return counts;
    },
  };
}
