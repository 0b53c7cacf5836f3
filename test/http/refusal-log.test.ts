import { pino } from 'pino';
import { expect, test } from 'vitest';
import { readerObserver } from '../../src/observers.js';
import { createMetrics } from '../../src/http/metrics/metrics.js';
import { Standing } from '../../src/redis/connect/standing.js';
import type { Change } from '../../src/registry/log/change.js';
import { buildGateway, caller, registration } from '../helpers/gateway.js';

function collected() {
  const lines: Record<string, unknown>[] = [];
  return { lines, log: pino({ level: 'info' }, { write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>) }) };
}

test('a refusal for want of a right or a token says from which address, for reads too, and an eviction says by whom', async () => {
  const { lines, log } = collected();
  const { app, call } = await buildGateway({ log });
  const stranger = caller(app.server, 'the-old-token-of-somebody');
  await stranger.get('/instances').expect(401);
  const ip = expect.stringMatching(/127\.0\.0\.1$/) as string;
  expect(lines.find(({ msg }) => msg === 'read refused')).toMatchObject({ code: 'unauthorized', status: 401, ip, route: '/sd/v1/instances' });
  await call.post('/instances').send(registration({ instanceId: 'twice', incarnation: 'life-1' })).expect(201);
  await call.post('/instances/twice/heartbeat').send({ incarnation: 'life-0' }).expect(409);
  expect(lines.find(({ status }) => status === 409)).toMatchObject({ ip, caller: 'token-1' });
  await call.post('/groups/game/kr-1/evict').expect(200);
  expect(lines.find(({ msg }) => msg === 'group not evicted: it is not held')).toMatchObject({ type: 'game', group: 'kr-1', released: false, caller: 'token-1', ip });
});

test('a hold is a line when it begins, and one when it is over, with who ended it', () => {
  const { lines, log } = collected();
  const observer = readerObserver(createMetrics(), new Standing('r', log), log, () => undefined);
  const hold = { sinceMs: 1000, untilMs: 31_000, late: 20, members: 21 };
  const change = { record: { type: 'game', group: 'kr-1' }, hold } as Change;
  observer.applied({ ...change, kind: 'held', cause: 'mass-lapse' });
  observer.applied({ ...change, kind: 'released', cause: 'operator', by: 'night-shift' });
  expect(lines).toMatchObject([
    { type: 'game', group: 'kr-1', late: 20, members: 21, until: '1970-01-01T00:00:31.000Z', msg: expect.stringMatching(/^group held/) as string },
    { type: 'game', group: 'kr-1', cause: 'operator', by: 'night-shift', msg: expect.stringMatching(/^group released/) as string },
  ]);
});
