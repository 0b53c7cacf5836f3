import { afterEach, expect, test, vi } from 'vitest';
import { CAPS } from '../../src/http/requests/quota.js';
import { UNREAD_BYTES } from '../../src/http/replies/unread.js';
import { Body } from '../../src/registry/table/body.js';
import { registration, TOKEN } from '../helpers/gateway.js';
import { expectProblem } from '../helpers/problem.js';
import { sharedGateway } from '../helpers/shared-gateway.js';
import { Watch } from '../helpers/sse.js';
import { until } from '../helpers/until.js';

const gateway = sharedGateway();
const before = structuredClone({ CAPS, UNREAD_BYTES });
afterEach(() => {
  for (const kind of Object.keys(CAPS) as (keyof typeof CAPS)[]) Object.assign(CAPS[kind], before.CAPS[kind]);
  Object.assign(UNREAD_BYTES, before.UNREAD_BYTES);
});
const lower = (kind: keyof typeof CAPS, perToken: number) => Object.assign(CAPS[kind], { perToken });

function expectCap(answer: Parameters<typeof expectProblem>[0], what: string) {
  expectProblem(answer, 429, 'rate_limited');
  expect((answer.body as { detail: string }).detail).toContain(what);
  expect(answer.headers['retry-after']).toBe('1');
}

test('one watcher more than a token may have is refused, and may come when another has gone', async () => {
  const { app, call } = gateway();
  lower('watch', 1);
  const { port } = app.server.address() as { port: number };
  const watch = new Watch(`http://127.0.0.1:${port}/sd/v1/watch`, { headers: { 'x-api-token': TOKEN } });
  await watch.opened;
  expectCap(await call.get('/watch'), '1 watchers');
  watch.cut();
  await until(async () => {
    const again = new Watch(`http://127.0.0.1:${port}/sd/v1/watch`, { headers: { 'x-api-token': TOKEN } });
    await again.opened;
    again.cut();
    return again.status === 200;
  });
});

test.each([
  ['poll', '/instances?type=game&group=kr-1', 'long polls'],
  ['searchingPoll', '/instances?label.a=b', 'long polls for anything but a whole group'],
] as const)('one %s more than a token may have is refused, and others are not', async (kind, path, what) => {
  const { call, view } = gateway();
  lower(kind, 1);
  const waits = view.polls.waiting;
  const poll = () => call.get(path).set('If-None-Match', '*').set('Prefer', 'wait=2');
  const first = poll().then(({ status }) => status);
  await until(() => view.polls.waiting > waits);
  expectCap(await poll(), `1 ${what}`);
  await call.get(path).expect(200);
  expect(await first).toBe(304);
  expect((await poll()).status).toBe(304);
});

test('one search more than a token may have under way is refused, a whole group never', async () => {
  const { call } = gateway();
  lower('search', 0);
  expectCap(await call.get('/instances?label.a=b'), '0 searches');
  await call.get('/instances?type=game&group=kr-1').expect(200);
});

test('a large answer is refused to who has left as much unread as may be', async () => {
  const { call } = gateway();
  for (let i = 0; i < 12; i++) await call.post('/instances').send(registration({ type: 'wide', systemInfo: { text: 'x'.repeat(7000) } })).expect(201);
  Object.assign(UNREAD_BYTES, { perToken: 0 });
  const made = vi.spyOn(Body.prototype, 'write');
  for (const path of ['/instances?type=wide', '/events?type=wide']) expectCap(await call.get(path), 'answers that it has not read');
  expect(made).not.toHaveBeenCalled(); // or refusing would cost as much as answering
  made.mockRestore();
});
