import request from 'supertest';
import { expect, test } from 'vitest';
import { CHANGE_KINDS } from '../../src/contract/index.js';
import { createMetrics } from '../../src/http/metrics/metrics.js';
import { version } from '../../src/http/version.js';
import { buildGateway, caller, registration } from '../helpers/gateway.js';
import { expectProblem } from '../helpers/problem.js';
import { sharedGateway } from '../helpers/shared-gateway.js';
import { secretOf, tokensOf } from '../helpers/tokens.js';

const gateway = sharedGateway();

test('metrics need a token unless they are public', async () => {
  expectProblem(await request(gateway().app.server).get('/metrics'), 401, 'unauthorized');
  const { app } = await buildGateway({ metricsPublic: true });
  await request(app.server).get('/metrics').expect(200);
});

test('metrics tell of the whole registry: a token with patterns has none of it, one that may read or admin has', async () => {
  const tokens = tokensOf(
    { name: 'reader', verbs: ['read'] },
    { name: 'operator', verbs: ['admin'] },
    { name: 'writer', verbs: ['write'] },
    { name: 'tenant', verbs: ['read', 'write'], types: ['game'] },
    { name: 'tenant-admin', verbs: ['read', 'admin'], groups: ['kr-*'] },
  );
  const { app } = await buildGateway({ tokens });
  const ask = (name: string) => caller(app.server, secretOf(name)).get('//metrics');
  for (const name of ['reader', 'operator']) await ask(name).expect(200);
  for (const name of ['writer', 'tenant', 'tenant-admin']) expectProblem(await ask(name), 403, 'forbidden');
});

test('metrics are in the Prometheus text format, with a HELP and a TYPE for each', async () => {
  const { headers, text } = await gateway().call.get('//metrics').expect(200);
  expect(headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
  const names = (line: string) => [...text.matchAll(new RegExp(`^# ${line} (\\w+)`, 'gm'))].map(([, name]) => name).sort();
  expect(names('TYPE')).toEqual(names('HELP'));
  expect(names('TYPE')).toEqual(
    expect.arrayContaining([
      'rollcall_http_request_seconds',
      'rollcall_redis_transaction_seconds',
      'rollcall_redis_transaction_errors_total',
      'rollcall_redis_reachable',
      'rollcall_heartbeats_total',
      'rollcall_sweeps_total',
      'rollcall_sweep_seconds',
      'rollcall_evictions_total',
      'rollcall_reconciled_total',
      'rollcall_changes_total',
      'rollcall_view_loads_total',
      'rollcall_view_loaded',
      'rollcall_view_instances',
      'rollcall_view_stale_seconds',
      'rollcall_watchers',
      'rollcall_watchers_ended_total',
      'rollcall_long_polls',
      'nodejs_eventloop_lag_seconds',
      'process_resident_memory_bytes',
    ]),
  );
});

test('requests are counted by route and status, heartbeats by status, and no id becomes a label', async () => {
  const { call } = await buildGateway();
  await call.post('/instances').send(registration({ instanceId: 'an-id-of-mine' })).expect(201);
  await call.post('/instances/an-id-of-mine/heartbeat').expect(200);
  await call.post('/instances/unknown-id/heartbeat').expect(404);
  await call.post('/heartbeats').send([{ instanceId: 'an-id-of-mine' }, { instanceId: 'unknown-id' }, { instanceId: 'an-id-of-mine', incarnation: 'x' }]).expect(200);
  await call.get('/some/path/of/no/route').expect(404);
  const { text } = await call.get('//metrics').expect(200);
  const lines = [
    'rollcall_http_request_seconds_count{method="POST",route="/sd/v1/instances",status="201"} 1',
    'rollcall_http_request_seconds_count{method="POST",route="/sd/v1/instances/:id/heartbeat",status="200"} 1',
    'rollcall_http_request_seconds_count{method="POST",route="/sd/v1/instances/:id/heartbeat",status="404"} 1',
    'rollcall_http_request_seconds_count{method="GET",route="none",status="404"} 1',
    'rollcall_heartbeats_total{status="200"} 2',
    'rollcall_heartbeats_total{status="404"} 2',
    'rollcall_heartbeats_total{status="409"} 1',
  ];
  for (const line of lines) expect(text).toContain(`${line}\n`);
  expect(text).not.toMatch(/an-id-of-mine|unknown-id|some\/path/);
});

test('names and types are as promtool wants them: only counters end with _total', async () => {
  const { text } = await gateway().call.get('//metrics').expect(200);
  const types = [...text.matchAll(/^# TYPE (\w+) (\w+)$/gm)].map(([, name, type]) => ({ name: name as string, type }));
  expect(types.length).toBeGreaterThan(30);
  expect(types.filter(({ name, type }) => name.endsWith('_total') !== (type === 'counter'))).toEqual([]);
});

test('every label value that can occur is there at 0 from the start, so that a rate sees the first event too', async () => {
  const { registry } = createMetrics();
  const text = await registry.metrics();
  const values = (name: string) => [...text.matchAll(new RegExp(`^${name}\\{\\w+="(\\w+)"\\} 0$`, 'gm'))].map(([, value]) => value).sort();
  expect(values('rollcall_shed_total')).toEqual(['heartbeat', 'read', 'write']);
  expect(values('rollcall_watchers_ended_total')).toEqual(['revoked', 'shutdown', 'slow', 'stuck']);
  expect(values('rollcall_heartbeats_total')).toEqual(['200', '404', '409', '503']);
  expect(values('rollcall_sweeps_total')).toEqual(['done', 'failed']);
  expect(values('rollcall_changes_total')).toEqual([...CHANGE_KINDS, 'unknown'].sort());
  expect(values('rollcall_view_loads_total')).toEqual(['diverged', 'epoch', 'lag', 'outdated', 'start']);
  expect(values('rollcall_reconciled_total')).toEqual(['adopted', 'removed']);
  expect(text).toContain('rollcall_http_request_seconds_count{method="POST",route="/sd/v1/instances",status="503"} 0\n');
  expect(text).toContain(`rollcall_build_info{version="${version}",node="${process.versions.node}"} 1\n`);
});
