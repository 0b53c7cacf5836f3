import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openWatch, type Watch } from '../helpers/sse.js';
import { comparePositions, type Watched } from '../helpers/watch-log.js';
import { bound, report } from '../helpers/bounds.js';
import { Client, pick, type Reply } from './helpers/client.js';
import { watchHeaders, watchUrl } from './helpers/follower.js';
import { differences, digestOf, fold, pictureOf, positionOf, type Picture } from './helpers/picture.js';
import { lagBehind, startKiller, startSlowFleet, type SlowFleet } from './helpers/slow-fleet.js';
import { HOMES, startWriters } from './helpers/writers.js';

const ROUNDS = bound(60, 1000);
const RUN_MAX_MS = bound(30_000, 240_000);
const AT_ONCE = 3;
const QUERIES: { type?: string; group?: string }[] = [{}, { type: 'game' }, { type: 'chat' }, ...HOMES];

let fleet: SlowFleet;
beforeAll(async () => {
  fleet = await startSlowFleet();
}, 60_000);
afterAll(() => fleet?.stop());

interface Snapshot {
  revision: string;
  picture: Picture;
}

interface Discovered extends Snapshot {
  etag: string;
  /** Of what the tag stands for. */
  digest: string;
}
interface Following extends Snapshot {
  watch: Watch;
}

/** Some replica was away, or did not know the revision yet: the round does not count. */
class Away extends Error {}

const url = () => pick(fleet.members.filter(({ up }) => up)).replica.url;

function discovered({ status, headers, text }: Reply): Discovered {
  if (status === 503) throw new Away();
  if (status !== 200) throw new Error(`${status} ${text}`);
  const { instances, next } = JSON.parse(text) as { instances: Watched[]; next?: string };
  if (next !== undefined) throw new Error('more than one page');
  return { revision: String(headers['x-revision']), picture: pictureOf(instances), etag: String(headers.etag), digest: digestOf(instances) };
}

const pathOf = (query: (typeof QUERIES)[number], minRevision?: string) =>
  `/instances?${new URLSearchParams({ ...query, limit: '10000', ...(minRevision !== undefined && { minRevision }) }).toString()}`;

async function discover(http: Client, query: (typeof QUERIES)[number], minRevision?: string): Promise<Discovered> {
  const reply = await http.call(url(), pathOf(query, minRevision)).catch(() => {
    throw new Away();
  });
  return discovered(reply);
}

async function watched(query: (typeof QUERIES)[number]): Promise<Following> {
  const watch = openWatch(watchUrl(pick(fleet.members), query), { headers: watchHeaders });
  const frame = await watch.next(({ event }) => event === 'snapshot').catch(() => {
    throw new Away();
  });
  const { revision, instances } = frame.json<{ revision: string; instances: Watched[] }>();
  return { revision, picture: pictureOf(instances), watch };
}

/** Resolves when the watch has been told something later than this. */
async function passed(watch: Watch, revision: string) {
  const to = positionOf(revision);
  await watch.next(({ id }) => id !== undefined && comparePositions(positionOf(id), to) > 0).catch((error: Error) => {
    if (/the stream (has )?ended/.test(error.message)) throw new Away(); // its replica was killed
    throw error;
  });
}

/** A snapshot here, what followed there, and a snapshot at a third place: the same in the end. */
async function round(http: Client, query: (typeof QUERIES)[number]): Promise<{ broken: string[]; frames: number }> {
  let watch: Watch | undefined;
  try {
    const first = Math.random() < 0.7 ? await discover(http, query) : await watched(query);
    if ('watch' in first) watch = first.watch;
    const goesOnElsewhere = Math.random() < 0.5;
    if (!watch || goesOnElsewhere) {
      watch?.cut();
      watch = openWatch(watchUrl(pick(fleet.members), query), { headers: watchHeaders, lastEventId: first.revision });
    }
    await sleep(Math.random() * 150);
    const last = await discover(http, query, first.revision);
    await passed(watch, last.revision);
    const { frames } = watch;
    if (frames.some(({ event }) => event === 'reset')) return { broken: [`reset after ${first.revision}`], frames: frames.length };
    const folded = fold(first.picture, frames, positionOf(first.revision), positionOf(last.revision));
    const broken = differences(folded, last.picture).map((said) => `${JSON.stringify(query)} ${first.revision} to ${last.revision}: ${said}`);
    return { broken, frames: frames.length };
  } finally {
    watch?.cut();
  }
}

/** One revision of one query has one content with one tag, wherever it is asked for; and one tag is one content. */
class Tags {
  readonly #byRevision = new Map<string, Discovered>();
  readonly #byTag = new Map<string, string>();
  same = 0;
  readonly broken: string[] = [];

  add(query: string, found: Discovered) {
    const { revision, etag, digest, picture } = found;
    const known = this.#byRevision.get(`${query} ${revision}`);
    this.#byRevision.set(`${query} ${revision}`, found);
    const content = this.#byTag.get(`${query} ${etag}`) ?? digest;
    this.#byTag.set(`${query} ${etag}`, content);
    if (content !== digest) this.broken.push(`${query} ${revision}: ${etag} had another content before`);
    if (!known) return;
    this.same++;
    if (known.etag !== etag) this.broken.push(`${query} ${revision}: ${known.etag} and ${etag}`);
    this.broken.push(...differences(known.picture, picture).map((said) => `${query} ${revision}: ${said}`));
  }
}

/** Asks all replicas at once for what is there from one revision on: often they answer from the very same. */
async function compareTags(http: Client, tags: Tags) {
  const query = pick(QUERIES);
  const { revision } = await discover(http, query);
  const replies = await Promise.allSettled(fleet.members.map(({ replica }) => http.call(replica.url, pathOf(query, revision))));
  for (const reply of replies) if (reply.status === 'fulfilled' && reply.value.status === 200) tags.add(JSON.stringify(query), discovered(reply.value));
}

test('a snapshot and the events after it are the later snapshot, and the tag is the same on every replica', async () => {
  lagBehind(fleet);
  const writers = startWriters(fleet, { pauseMs: 25 });
  const killer = startKiller(fleet, bound(3000, 5000));
  const tags = new Tags();
  const counts = { rounds: 0, away: 0, frames: 0, broken: [] as string[] };
  const end = performance.now() + RUN_MAX_MS;
  const play = async () => {
    const http = new Client();
    while (counts.rounds < ROUNDS && performance.now() < end) {
      try {
        const { broken, frames } = await round(http, pick(QUERIES));
        counts.rounds++;
        counts.frames += frames;
        counts.broken.push(...broken);
        await compareTags(http, tags);
      } catch (error) {
        if (!(error instanceof Away)) throw error;
        counts.away++;
        await sleep(20);
      }
    }
    http.close();
  };
  await Promise.all(Array.from({ length: AT_ONCE }, play));
  const kills = await killer.stop();
  await writers.stop();

  const { broken, ...rest } = counts;
  report('T3', { ...rest, kills, sameRevision: tags.same, violations: broken.length + tags.broken.length });
  expect(broken.slice(0, 10)).toEqual([]);
  expect(tags.broken.slice(0, 10)).toEqual([]);
  expect(writers.unexpected).toEqual([]);
  expect(counts.rounds).toBeGreaterThanOrEqual(ROUNDS);
  expect(tags.same).toBeGreaterThan(ROUNDS / 4);
  expect(kills).toBeGreaterThan(0);
}, RUN_MAX_MS + 60_000);
