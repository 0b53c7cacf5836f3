import { onTestFinished } from 'vitest';
import { runSweep } from '../../src/jobs/sweep.js';
import { buildGateway, registration, silent, type GatewaySetup } from '../helpers/gateway.js';
import { eventsIn } from '../helpers/events.js';

type Gateway = Awaited<ReturnType<typeof buildGateway>>;
const nobody = { swept: () => undefined, failed: () => undefined, reconciled: () => undefined };

/** A gateway with a sweep every 100 ms. */
export async function openSwept(setup: GatewaySetup = {}) {
  const gateway = await buildGateway({ fromMemory: true, ...setup });
  let sweeping: Promise<unknown> | undefined;
  const timer = setInterval(() => {
    sweeping ??= runSweep(gateway.maintenance, 3_600_000, nobody, silent).catch(() => undefined).finally(() => (sweeping = undefined));
  }, 100);
  onTestFinished(async () => {
    clearInterval(timer);
    await sweeping;
  });
  const events = async (...kinds: string[]) => (await eventsIn(gateway.raw, gateway.keys.events)).filter(({ kind }) => kinds.includes(kind ?? ''));
  return { ...gateway, events };
}
export type Swept = Awaited<ReturnType<typeof openSwept>>;

export const names = (count: number, stem = 'i') => Array.from({ length: count }, (_, i) => `${stem}-${i}`);

/** Of more than these at once a gateway may refuse some, and a test would wait for who was never there. */
const AT_ONCE = 500;

export async function registerAll({ call }: Pick<Gateway, 'call'>, ids: string[], fields: Record<string, unknown> = {}) {
  for (let from = 0; from < ids.length; from += AT_ONCE) {
    const answers = await Promise.all(ids.slice(from, from + AT_ONCE).map((instanceId) => call.post('/instances').send(registration({ instanceId, ...fields }))));
    const refused = answers.filter(({ ok }) => !ok);
    if (refused.length > 0) throw new Error(`${refused.length} registrations refused: ${refused[0]?.text}`);
  }
}

/** Heartbeats of these, five a second, until it is stopped. */
export function keepBeating({ call }: Pick<Gateway, 'call'>, ids: string[]) {
  const beat = () => void call.post('/heartbeats').send(ids.map((instanceId) => ({ instanceId }))).catch(() => undefined);
  const timer = setInterval(beat, 200);
  const stop = () => clearInterval(timer);
  onTestFinished(stop);
  return stop;
}

export interface Listed {
  instanceId: string;
  suspect?: boolean;
}
export const listed = async ({ call }: Pick<Gateway, 'call'>, query = 'type=game&group=kr-1') => {
  const { body, headers } = await call.get(`/instances?${query}`).expect(200);
  return { instances: body.instances as Listed[], etag: String(headers.etag) };
};
export const suspects = async (gateway: Pick<Gateway, 'call'>) => (await listed(gateway)).instances.filter(({ suspect }) => suspect).map(({ instanceId }) => instanceId).sort();
