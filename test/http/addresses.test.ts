import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import { buildGateway, registration } from '../helpers/gateway.js';
import { sharedGateway } from '../helpers/shared-gateway.js';

/** The tests call from 127.0.0.1, which this gateway trusts as a proxy, so X-Forwarded-For says who calls. */
const behindProxy = sharedGateway({ trustProxy: ['127.0.0.0/8', '10.0.0.0/8'] });
type Gateway = ReturnType<typeof behindProxy>;

async function register({ call }: Gateway, forwardedFor: string | undefined, fields: Record<string, unknown> = {}) {
  const sending = call.post('/instances').send(registration(fields));
  const { body } = await (forwardedFor === undefined ? sending : sending.set('X-Forwarded-For', forwardedFor)).expect(201);
  const found = await call.get(`/instances/${body.instanceId as string}`).expect(200);
  return { observedIp: body.observedIp as string, publicIp: found.body.publicIp as unknown, privateIp: found.body.privateIp as unknown };
}

/** An observed address, and the field it fills. */
const observed: [address: string, field: 'publicIp' | 'privateIp', written?: string][] = [
  ['203.0.113.7', 'publicIp'],
  ['10.0.4.17', 'privateIp'],
  ['172.16.0.1', 'privateIp'],
  ['172.32.0.1', 'publicIp'],
  ['192.168.1.2', 'privateIp'],
  ['127.0.0.9', 'privateIp'],
  ['::1', 'privateIp'],
  ['fd12:3456::1', 'privateIp'],
  ['2001:db8::7', 'publicIp'],
  ['2001:DB8:0:0:0:0:0:7', 'publicIp', '2001:db8::7'],
  ['::ffff:203.0.113.7', 'publicIp', '203.0.113.7'],
  ['::ffff:10.0.4.17', 'privateIp', '10.0.4.17'],
  ['203.0.113.7:4711', 'publicIp', '203.0.113.7'],
  ['[2001:db8::7]:4711', 'publicIp', '2001:db8::7'],
];

describe('an address that the caller leaves out', () => {
  // The last address of the list that is not a trusted proxy is the caller: one in 10.0.0.0/8 needs a gateway that trusts less.
  test.each(observed)('is filled from the observed %s as %s', async (address, field, written = address) => {
    const gateway = await buildGateway({ trustProxy: ['127.0.0.1'] });
    const { observedIp, ...addresses } = await register(gateway, address);
    expect(observedIp).toBe(written);
    expect(addresses).toEqual({ publicIp: undefined, privateIp: undefined, [field]: written });
  });

  test('is filled beside the one that is given', async () => {
    expect(await register(behindProxy(), '203.0.113.7', { privateIp: '192.168.1.2' })).toMatchObject({ publicIp: '203.0.113.7', privateIp: '192.168.1.2' });
    expect(await register(behindProxy(), '192.168.9.9', { publicIp: '203.0.113.8' })).toMatchObject({ publicIp: '203.0.113.8', privateIp: '192.168.9.9' });
  });

  test('never takes the place of one that is given', async () => {
    expect(await register(behindProxy(), '203.0.113.7', { publicIp: '198.51.100.1' })).toEqual({ observedIp: '203.0.113.7', publicIp: '198.51.100.1', privateIp: undefined });
    expect(await register(behindProxy(), '192.168.9.9', { privateIp: '10.1.1.1' })).toEqual({ observedIp: '192.168.9.9', publicIp: undefined, privateIp: '10.1.1.1' });
  });
});

test('given addresses are written in their plain form', async () => {
  const given = { publicIp: '2001:DB8::0:7', privateIp: '::ffff:10.0.4.17' };
  expect(await register(behindProxy(), '203.0.113.7', given)).toMatchObject({ publicIp: '2001:db8::7', privateIp: '10.0.4.17' });
});

describe('behind proxies', () => {
  test('the caller is the last address that no trusted proxy has', async () => {
    expect(await register(behindProxy(), '203.0.113.7, 10.0.0.5')).toMatchObject({ observedIp: '203.0.113.7' });
    expect(await register(behindProxy(), '198.51.100.66, 203.0.113.7, 10.0.0.5, 10.0.0.6')).toMatchObject({ observedIp: '203.0.113.7' });
  });

  test('what the caller itself put into the header is not believed', async () => {
    expect(await register(behindProxy(), '10.9.9.9, 203.0.113.7')).toMatchObject({ observedIp: '203.0.113.7', publicIp: '203.0.113.7', privateIp: undefined });
  });

  test.each(['unknown', 'not an address', '203.0.113.7:', '0.0.0.0', '300.1.1.1', '<script>'])('a header that says %j names nobody, and above all not the proxy', async (header) => {
    const { publicIp, privateIp } = await register(behindProxy(), header);
    expect([publicIp, privateIp]).not.toContain(header);
    expect([publicIp, privateIp]).not.toContain('127.0.0.1');
  });
});

test('a header from a peer that is not a trusted proxy is ignored', async () => {
  for (const trustProxy of [[], ['10.0.0.0/8', '203.0.113.0/24']]) {
    const gateway = await buildGateway({ trustProxy });
    expect(await register(gateway, '203.0.113.7')).toEqual({ observedIp: '127.0.0.1', publicIp: undefined, privateIp: '127.0.0.1' });
  }
});

test('a caller without a proxy is seen as it is', async () => {
  expect(await register(behindProxy(), undefined)).toEqual({ observedIp: '127.0.0.1', publicIp: undefined, privateIp: '127.0.0.1' });
});

/** The peer is 127.0.0.1. */
const warnings: [string, setup: { trustProxy: string[]; forwardedFor?: string; fields?: Record<string, unknown> }, warning: RegExp | undefined][] = [
  ['a header that nobody is trusted to send', { trustProxy: [], forwardedFor: '203.0.113.7' }, /^X-Forwarded-For is ignored: set TRUST_PROXY/],
  ['no header from a trusted balancer', { trustProxy: ['2001:db8::/32', '10.0.0.1', '127.0.0.0/8'] }, /^no X-Forwarded-For from an address of TRUST_PROXY/],
  ['no header, and nobody is trusted', { trustProxy: [] }, undefined],
  ['no header from whom nobody trusts', { trustProxy: ['10.0.0.0/8'] }, undefined],
  ['a header from a trusted balancer', { trustProxy: ['127.0.0.1'], forwardedFor: '203.0.113.7' }, undefined],
  ['no header, and an address in the body', { trustProxy: ['127.0.0.1'], fields: { publicIp: '203.0.113.7' } }, undefined],
];

test.each(warnings)('the log says once what a balancer does wrong: %s', async (_case, { trustProxy, forwardedFor, fields = {} }, warning) => {
  const lines: { msg: string; from?: string }[] = [];
  const log = pino({ level: 'warn' }, { write: (line) => void lines.push(JSON.parse(line) as { msg: string }) });
  const gateway = await buildGateway({ trustProxy, log });
  for (let times = 0; times < 2; times++) await register(gateway, forwardedFor, fields);
  const said = lines.filter(({ msg }) => msg.includes('X-Forwarded-For'));
  expect(said).toEqual(warning ? [expect.objectContaining({ from: '127.0.0.1', msg: expect.stringMatching(warning) as string })] : []);
});
