import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../../../test/helpers/until.js';
import { TOKEN } from '../../rig.js';
import type { Member } from '../bed.js';
import { describe } from '../load.js';
import type { Field } from '../field.js';
import { underLoad } from '../rig.js';
import type { Fault } from '../scale.js';
import { writesBack } from '../tools.js';

const RIGHTS = ['~service:*', '~{service}-jobs:*', 'resetchannels', '-@all', '+@read', '+@write', '+@connection', '+@transaction', '-@scripting', '-@dangerous', '+eval', '+evalsha', '+script|load', '+time', '+info'];

const maxmemory: Fault = {
  name: 'maxmemory',
  expectation: 'a full Redis: registrations 503, heartbeats, removals and reads go on, nobody crashes; registrations again when there is room',
  run: (scale) =>
    underLoad(scale, {}, async (field) => {
      const { bed, load, numbers, require } = field;
      await bed.raw.config('SET', 'maxmemory', '1mb');
      const register = (n: number) => load.http.call((bed.members[n % 3] as Member).url, '/instances', { method: 'POST', body: { ...describe({ id: `full-${n}`, group: 'full' }), ttlSeconds: 60 } });
      const refused = await Promise.all(Array.from({ length: 30 }, (_, n) => register(n)));
      const [life] = load.lives as [(typeof load.lives)[number]];
      await sleep(field.ttlMs + 1000); // everybody must beat meanwhile
      numbers.removed = await load.remove(life);
      await bed.raw.config('SET', 'maxmemory', '0');
      const since = Date.now();
      const again = await until(async () => (await register(1)).status < 300, 5000);
      await load.http.call((bed.members[0] as Member).url, '/instances/full-1', { method: 'DELETE' });
      Object.assign(numbers, { refused: refused.filter(({ status }) => status === 503).length, roomAfterMs: Date.now() - since });
      require(refused.every(({ status }) => status === 503), `registrations into a full Redis: ${[...new Set(refused.map(({ status }) => status))].join()}`);
      require(refused.every(({ headers }) => headers['retry-after'] !== undefined), 'a 503 without Retry-After');
      require(numbers.removed === 204 && Boolean(again), `a removal from a full Redis: ${numbers.removed}`);
    }),
};

/** A user of the least rights that the documents name, that the fault can change. */
const withUser = {
  redisUrl: async ({ port }: { port: number }) => {
    const { Redis } = await import('ioredis');
    const admin = new Redis(port, '127.0.0.1');
    await admin.call('ACL', 'SETUSER', 'rollcall', 'on', `>${TOKEN}`, ...RIGHTS);
    admin.disconnect();
    return `redis://rollcall:${TOKEN}@127.0.0.1:${port}`;
  },
};

const strict = ({ load }: Field, { url }: Member) => load.http.call(url, '//readyz?require=redis').then(({ status }) => status);

/** Each replica says that it cannot write, and why in its log. Gives how long that took. */
async function detected(field: Field, since: number, word: RegExp): Promise<number> {
  const { bed, load, require } = field;
  await Promise.all(bed.members.map((member) => until(async () => (await strict(field, member)) === 503, 10_000, 50)));
  const ms = Date.now() - since;
  const reply = await load.http.call((bed.members[0] as Member).url, '/instances', { method: 'POST', body: describe({ id: 'refused', group: 'refused' }) });
  require(reply.status === 503 && reply.headers['retry-after'] !== undefined, `a registration meanwhile: ${reply.status} ${reply.text}`);
  for (const { url, replica } of bed.members) {
    const said = await until(() => replica.log.some((line) => word.test(line)), 5000).catch(() => false);
    require(Boolean(said), `the log of ${url} does not say ${word}`);
  }
  return ms;
}

const passwordRotated: Fault = {
  name: 'acl-password-rotated',
  expectation: 'the password is changed under the replicas: writes 503, the log says why, reads go on; with the old one again all is well',
  run: (scale) =>
    underLoad(scale, withUser, async (field) => {
      const { bed, outages, numbers } = field;
      outages.begin();
      const since = Date.now();
      await bed.raw.call('ACL', 'SETUSER', 'rollcall', 'resetpass', '>another');
      await bed.raw.call('CLIENT', 'KILL', 'USER', 'rollcall');
      numbers.detectedMs = await detected(field, since, /WRONGPASS|NOAUTH/);
      await sleep(4000); // long enough for a grace
      const back = await outages.end(() => bed.raw.call('ACL', 'SETUSER', 'rollcall', 'resetpass', `>${TOKEN}`));
      numbers.writesBackMs = await writesBack(field, back);
    }),
};

const rightLost: Fault = {
  name: 'acl-time-lost',
  expectation: 'the user may not ask the time any more: clear 503, the log says why, reads go on; with the right again all is well',
  run: (scale) =>
    underLoad(scale, withUser, async (field) => {
      const { bed, outages, numbers } = field;
      outages.begin();
      const since = Date.now();
      await bed.raw.call('ACL', 'SETUSER', 'rollcall', '-time');
      numbers.detectedMs = await detected(field, since, /NOPERM|can't run this command/);
      await sleep(4000); // long enough for a grace
      const back = await outages.end(() => bed.raw.call('ACL', 'SETUSER', 'rollcall', '+time'));
      numbers.writesBackMs = await writesBack(field, back);
    }),
};

export const trouble: Fault[] = [maxmemory, passwordRotated, rightLost];
