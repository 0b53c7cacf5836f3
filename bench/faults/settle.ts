import { until } from '../../test/helpers/until.js';
import { keys, type Bed, type Member } from './bed.js';
import type { Load } from './load.js';
import { TYPE } from './load.js';
import { contentOf, type Follower } from './watchers.js';

interface Listed {
  instances: ({ instanceId: string; incarnation: string } & Record<string, unknown>)[];
}

const WITHIN_MS = 10_000;

/** At the end all tell the same: those that live, each replica, each watcher, and Redis. Gives what differs, if it does for long. */
export async function disagreements(bed: Pick<Bed, 'members' | 'raw'>, load: Load, followers: Follower[]): Promise<string[]> {
  let found: string[] = [];
  const compare = async () => {
    const expected = load.lives.filter(({ state }) => state === 'alive').map(({ id }) => id).sort();
    const listed = await listAll(load, bed.members);
    found = [...compareReplicas(listed, expected), ...(await compareRedis(bed, listed[0], expected)), ...compareWatchers(followers, listed[0])];
    return found.length === 0;
  };
  try {
    await until(compare, WITHIN_MS, 250);
    return [];
  } catch (error) {
    return found.length > 0 ? found : [`the end could not be looked at: ${(error as Error).message}`];
  }
}

interface Picture {
  url: string;
  tags: string;
  content: Map<string, string>;
  groupOf: Map<string, string>;
}

const listAll = (load: Load, members: Member[]) =>
  Promise.all(
    members.map(async ({ url }): Promise<Picture> => {
      const replies = await Promise.all(load.groups.map((group) => load.http.call(url, `/instances?type=${TYPE}&group=${group}`)));
      const refused = replies.find(({ status }) => status !== 200);
      if (refused) throw new Error(`${url}: ${refused.status} ${refused.text}`);
      const instances = replies.flatMap(({ text }) => (JSON.parse(text) as Listed).instances);
      return {
        url,
        tags: replies.map(({ headers }) => headers.etag).join(),
        content: new Map(instances.map((instance) => [instance.instanceId, contentOf(instance)])),
        groupOf: new Map(instances.map(({ instanceId, group }) => [instanceId, String(group)])),
      };
    }),
  );

function compareReplicas(listed: Picture[], expected: string[]): string[] {
  const tags = new Set(listed.map((each) => each.tags));
  const wrong = tags.size > 1 ? [`replicas answer with ${tags.size} different ETags`] : [];
  return [...wrong, ...listed.flatMap(({ url, content }) => difference(`replica ${url}`, [...content.keys()], expected))];
}

async function compareRedis({ raw }: Pick<Bed, 'raw'>, picture: Picture | undefined, expected: string[]): Promise<string[]> {
  const members = await raw.zrange(keys.leases, '0', '-1');
  const ids = members.map((member) => member.slice(member.lastIndexOf(':') + 1));
  const wrong = difference('leases in Redis', ids, expected);
  const lookups = raw.pipeline();
  for (const id of expected) lookups.hmget(keys.record(id), 'incarnation', 'hostname', 'labels').exists(keys.face(id)).sismember(keys.members(`${TYPE}:${picture?.groupOf.get(id)}`), id);
  const replies = ((await lookups.exec()) ?? []).map(([, reply]) => reply);
  expected.forEach((id, i) => {
    const [record, face, member] = replies.slice(3 * i, 3 * i + 3) as [(string | null)[], number, number];
    const shown = new Map<string, unknown>(JSON.parse(picture?.content.get(id) ?? '[]') as [string, unknown][]);
    const same = record[0] === shown.get('incarnation') && record[1] === shown.get('hostname') && (record[2] ?? '{}') === JSON.stringify(shown.get('labels'));
    if (!same || face !== 1 || member !== 1) wrong.push(`${id} in Redis: record ${JSON.stringify(record)}, face ${face}, in its group ${member}`);
  });
  return wrong.slice(0, 10);
}

function compareWatchers(followers: Follower[], picture: Picture | undefined): string[] {
  const wrong = followers.flatMap((follower, n) => {
    const expected = [...(picture?.content ?? [])].filter(([id]) => follower.group === undefined || picture?.groupOf.get(id) === follower.group);
    const differs = difference(`watcher ${n}`, [...follower.picture.keys()], expected.map(([id]) => id).sort());
    const content = expected.filter(([id, content]) => follower.picture.has(id) && follower.picture.get(id) !== content);
    return [...differs, ...content.slice(0, 1).map(([id, text]) => `watcher ${n} has ${id} as ${follower.picture.get(id)}, not ${text}`)];
  });
  return wrong.slice(0, 10);
}

function difference(name: string, found: string[], expected: string[]): string[] {
  const [has, wanted] = [new Set(found), new Set(expected)];
  const missing = expected.filter((id) => !has.has(id));
  const extra = found.filter((id) => !wanted.has(id));
  if (missing.length + extra.length === 0) return [];
  return [`${name}: ${missing.length} missing (${missing.slice(0, 3).join()}), ${extra.length} too many (${extra.slice(0, 3).join()})`];
}
