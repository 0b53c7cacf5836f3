import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { startDns } from '../helpers/dns.js';
import { startHaproxy } from '../helpers/haproxy.js';
import { freePort } from '../helpers/ports.js';
import { ROOT } from '../helpers/replicas.js';
import { until } from '../helpers/until.js';

/** Passes both checks, or only the one that does not ask for Redis. */
async function startStub(host: string, port: number) {
  const state = { redis: true };
  const server: Server = createServer(({ url }, response) => {
    response.statusCode = url === '/readyz?require=redis' && !state.redis ? 503 : 200;
    response.end(host);
  });
  await new Promise<void>((resolve) => server.listen(port, host, resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return state;
}

test('with the backends file of compose HAProxy follows the name server, and falls back to replicas without Redis', async () => {
  const port = await freePort();
  const hosts = ['127.0.1.1', '127.0.1.2', '127.0.1.3'];
  const at = (host: string) => `${host}:${port}`;
  const stubs = await Promise.all(hosts.map((host) => startStub(host, port)));
  let known = hosts.slice(0, 1);
  const dns = await startDns(() => known);
  onTestFinished(dns.stop);

  const shipped = readFileSync(join(ROOT, 'deploy/haproxy.backends.compose.cfg'), 'utf8');
  const balancer = await startHaproxy(shipped.replace('127.0.0.11:53', `127.0.0.1:${dns.port}`).replaceAll('gateway:3000', `gateway.test:${port}`));
  onTestFinished(balancer.stop);
  const upIs = (backend: 'strict' | 'serving', wanted: string[]) =>
    until(async () => (await balancer.up(backend)).join() === wanted.map(at).join());
  const reached = async () => new Set(await Promise.all(Array.from({ length: 12 }, () => fetch(balancer.url).then((response) => response.text()))));

  await upIs('strict', hosts.slice(0, 1));
  known = hosts;
  await upIs('strict', hosts);
  expect(await reached()).toEqual(new Set(hosts));

  stubs[0]!.redis = false;
  await upIs('strict', hosts.slice(1));
  expect(await reached()).toEqual(new Set(hosts.slice(1)));

  for (const stub of stubs) stub.redis = false;
  await upIs('strict', []);
  await upIs('serving', hosts);
  expect(await reached()).toEqual(new Set(hosts));

  known = hosts.slice(2);
  await upIs('serving', hosts.slice(2));
});
