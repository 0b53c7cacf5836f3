import { Client, credentials, Metadata, Server, ServerCredentials, status, type ChannelOptions, type ServiceError } from '@grpc/grpc-js';
import { expect, onTestFinished, test } from 'vitest';
import { registerResolver } from '../../src/grpc/index.js';
import { parseTarget } from '../../src/grpc/target.js';
import { until } from '../helpers/until.js';
import { openClient } from './helpers.js';

const PATH = '/test.Echo/Name';
const same = (bytes: Buffer) => bytes;
const method = { name: { path: PATH, requestStream: false, responseStream: false, requestSerialize: same, requestDeserialize: same, responseSerialize: same, responseDeserialize: same } };
const ROUND_ROBIN = { 'grpc.service_config': JSON.stringify({ loadBalancingConfig: [{ round_robin: {} }] }) };
const QUICK = { 'grpc.initial_reconnect_backoff_ms': 100, 'grpc.max_reconnect_backoff_ms': 300 };

/** A server that answers with its name. */
async function backend(name: string, port = 0) {
  const server = new Server();
  server.addService(method, { name: (_: unknown, reply: (error: null, said: Buffer) => void) => reply(null, Buffer.from(name)) });
  const bound = await new Promise<number>((resolve, reject) => server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error, at) => (error ? reject(error) : resolve(at))));
  onTestFinished(() => server.forceShutdown());
  return { port: bound, kill: () => server.forceShutdown() };
}

let schemes = 0;
/** A channel to `coupon` by the resolver, and the gateway behind it. */
async function channel(options: ChannelOptions = ROUND_ROBIN, path = 'coupon') {
  const gateway = await openClient();
  const scheme = `sd${schemes++}`;
  registerResolver(gateway.client, scheme);
  const stub = new Client(`${scheme}:///${path}`, credentials.createInsecure(), { ...QUICK, ...options });
  onTestFinished(() => stub.close());
  const ask = () =>
    new Promise<string>((resolve) => {
      stub.makeUnaryRequest(PATH, same, same, Buffer.alloc(0), { deadline: Date.now() + 5000 }, (error: ServiceError | null, said?: Buffer) => resolve(error ? (status[error.code]) : (said?.toString() ?? '')));
    });
  const register = (instanceId: string, port: number, more: object = {}) => gateway.client.register({ type: 'coupon', group: 'kr-1', hostname: 'localhost', privateIp: '127.0.0.1', instanceId, incarnation: 'life-1', ports: [port], ...more });
  /** Who answers, in so many calls. */
  const answers = async (calls = 12) => [...new Set(await Promise.all(Array.from({ length: calls }, () => ask())))].sort();
  return { ...gateway, ask, answers, register, stub };
}

test('a channel follows who comes, drains, dies and restarts', { timeout: 30_000 }, async () => {
  const { client, ask, answers, register } = await channel();
  expect(await ask()).toBe('UNAVAILABLE'); // an answered nobody
  const [a, b, c] = [await backend('a'), await backend('b'), await backend('c')];
  await register('a', a.port);
  await register('b', b.port);
  await until(async () => (await answers()).join() === 'a,b');
  await register('c', c.port);
  await until(async () => (await answers()).join() === 'a,b,c');
  await client.updateStatus('a', 'shutting_down');
  await until(async () => (await answers()).join() === 'b,c');
  b.kill();
  await until(async () => (await answers()).join() === 'c');
  await backend('b', b.port); // restarted where it was
  await until(async () => (await answers()).join() === 'b,c', 10_000);
  await client.remove('b');
  await client.remove('c');
  await until(async () => (await ask()) === 'UNAVAILABLE');
});

test('with pick_first one is asked until it goes, then the next', { timeout: 20_000 }, async () => {
  const { client, answers, register } = await channel({});
  const [a, b] = [await backend('a'), await backend('b')];
  await register('a', a.port);
  await register('b', b.port);
  await until(async () => ['a', 'b'].includes((await answers()).join()));
  const first = (await answers()).join();
  await client.remove(first);
  await until(async () => (await answers()).join() === (first === 'a' ? 'b' : 'a'), 10_000);
});

test('a call that waits for ready is answered by the first who comes', async () => {
  const { stub, register } = await channel();
  const metadata = new Metadata({ waitForReady: true });
  const said = new Promise<string>((resolve) => {
    stub.makeUnaryRequest(PATH, same, same, Buffer.alloc(0), metadata, { deadline: Date.now() + 10_000 }, (error: ServiceError | null, bytes?: Buffer) => resolve(error ? error.message : (bytes?.toString() ?? '')));
  });
  const a = await backend('a');
  await register('a', a.port);
  expect(await said).toBe('a');
});

test('the group and the port are chosen by the address', async () => {
  const { answers, register } = await channel(ROUND_ROBIN, 'coupon/kr-2?port=admin');
  const [a, b] = [await backend('a'), await backend('b')];
  await register('elsewhere', a.port, { group: 'kr-1' });
  await register('here', b.port, { group: 'kr-2', ports: [{ name: 'game', port: a.port }, { name: 'admin', port: b.port }] });
  await until(async () => (await answers()).join() === 'b');
});

test.each([
  ['coupon', { type: 'coupon', group: undefined, port: undefined }],
  ['/game/kr-1?port=grpc', { type: 'game', group: 'kr-1', port: 'grpc' }],
])('%s means %j', (path, target) => {
  expect(parseTarget(path)).toEqual(target);
});

test.each(['', '/', 'game/', 'game/kr-1/more'])("'%s' is no target, and it is said how one is written", (path) => {
  expect(() => parseTarget(path)).toThrow('is no target: write sd:///<type> or sd:///<type>/<group>');
});
