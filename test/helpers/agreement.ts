import type { Redis } from 'ioredis';
import { expect } from 'vitest';
import { decodeInstance } from '../../src/redis/scripts/codec.js';
import type { Keys } from '../../src/redis/scripts/keys.js';
import { pictureOf, type Picture } from '../guarantees/helpers/picture.js';
import { TOKEN } from './gateway.js';
import { expectAgreement, readStore } from './store.js';
import type { Watched } from './watch-log.js';

interface Listed {
  instances: Watched[];
  picture: Picture;
  etag: string | null;
  revision: string | null;
}

async function listed(url: string): Promise<Listed> {
  const answer = await fetch(`${url}/sd/v1/instances?limit=10000`, { headers: { 'x-api-token': TOKEN } });
  expect(answer.status, `discover on ${url}`).toBe(200);
  expect(answer.headers.get('x-stale-seconds'), `${url} is fresh`).toBeNull();
  const { instances } = (await answer.json()) as { instances: Watched[] };
  return { instances, picture: pictureOf(instances), etag: answer.headers.get('etag'), revision: answer.headers.get('x-revision') };
}

const sorted = (picture: Picture) => [...picture].sort(([a], [b]) => (a < b ? -1 : 1));

/**
 * Every replica's discover is the same, content, tag and position, and it is what Redis holds: leases, records, Sets and index.
 * Nobody may be writing meanwhile. Gives what is there, by id.
 */
export async function expectOneTruth(urls: string[], raw: Redis, keys: Keys): Promise<Map<string, Watched>> {
  const [first, ...others] = await Promise.all(urls.map(listed)) as [Listed, ...Listed[]];
  for (const [i, other] of others.entries()) {
    expect(sorted(other.picture), `discover of replica ${i + 1} and of replica 0`).toEqual(sorted(first.picture));
    expect([other.etag, other.revision], `tag and position of replica ${i + 1} and of replica 0`).toEqual([first.etag, first.revision]);
  }
  const state = await readStore(raw, keys);
  expectAgreement(state);
  expect(sorted(first.picture), 'discover and the records in Redis').toEqual(sorted(pictureOf([...state.records.values()].map(decodeInstance))));
  return new Map(first.instances.map((instance) => [instance.instanceId, instance]));
}
