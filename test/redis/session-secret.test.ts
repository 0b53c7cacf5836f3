import { expect, test } from 'vitest';
import { SessionSecret } from '../../src/redis/session-secret.js';
import { openRegistry, silent } from '../helpers/gateway.js';

const secrets = async () => {
  const { raw, store, keys } = await openRegistry();
  const open = () => new SessionSecret(store, silent);
  return { raw, key: keys.sessionSecret, open };
};

test('the secret of sessions is made once, and is the same for all who begin together', async () => {
  const { raw, key, open } = await secrets();
  const replicas = Array.from({ length: 5 }, open);
  expect(replicas[0]?.current).toBeUndefined();
  await Promise.all(replicas.map((replica) => replica.look()));
  const held = await raw.get(key);
  expect(held).toMatch(/^[0-9a-f]{64}$/);
  expect(new Set(replicas.map(({ current }) => current?.toString('hex')))).toEqual(new Set([held]));
  expect(await raw.ttl(key)).toBe(-1);
});

test('the secret of sessions is given back to a Redis that has lost it, and what stands there counts', async () => {
  const { raw, key, open } = await secrets();
  const [one, other] = [open(), open()];
  await one.look();
  const before = one.current?.toString('hex');
  await raw.del(key);
  await one.look();
  await other.look();
  expect([await raw.get(key), one.current?.toString('hex'), other.current?.toString('hex')]).toEqual([before, before, before]);
  await raw.set(key, 'ab'.repeat(32));
  await one.look();
  expect(one.current?.toString('hex')).toBe('ab'.repeat(32));
});

test('a secret of sessions that somebody spoilt changes nothing for those who know it', async () => {
  const { raw, key, open } = await secrets();
  const one = open();
  await one.look();
  const before = one.current;
  for (const spoil of [() => raw.set(key, 'x'), () => raw.multi().del(key).lpush(key, 'x').exec()]) {
    await spoil();
    await one.look();
    expect(one.current).toEqual(before);
  }
});
