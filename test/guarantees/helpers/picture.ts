import { createHash } from 'node:crypto';
import type { Frame } from '../../helpers/sse.js';
import { comparePositions, parsePosition, type Position, type Watched } from '../../helpers/watch-log.js';

/** What is there, by id: all of each instance that is not left to heartbeats. */
export type Picture = Map<string, string>;

/** As text in one order of keys. What rides the beats is left out: it moves without an event. */
function contentOf(instance: Watched): string {
  const { lastHeartbeat: _l, expiresAt: _e, performance: _p, ...content } = instance;
  return JSON.stringify(sorted(content));
}

const sorted = (value: unknown): unknown =>
  value === null || typeof value !== 'object' || Array.isArray(value)
    ? value
    : Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, each]) => [key, sorted(each)]));

export const pictureOf = (instances: readonly Watched[]): Picture => new Map(instances.map((instance) => [instance.instanceId, contentOf(instance)]));

interface Told {
  revision: string;
  instance: Watched;
}

/** The picture after those of these frames that lie in (from, to], and what of them is not as it should be. */
export function fold(before: Picture, frames: readonly Frame[], from: Position, to: Position): Picture {
  const picture = new Map(before);
  for (const frame of frames) {
    if (['snapshot', 'bookmark', 'message'].includes(frame.event)) continue;
    const { revision, instance } = frame.json<Told>();
    const at = positionOf(revision);
    if (comparePositions(at, from) <= 0 || comparePositions(at, to) > 0) continue;
    if (frame.event === 'removed' || frame.event === 'expired') picture.delete(instance.instanceId);
    else picture.set(instance.instanceId, contentOf(instance));
  }
  return picture;
}

/** Ids that are not the same in both, each with what the two say. */
export function differences(one: Picture, other: Picture): string[] {
  const ids = new Set([...one.keys(), ...other.keys()]);
  return [...ids].filter((id) => one.get(id) !== other.get(id)).map((id) => `${id}: ${one.get(id)} | ${other.get(id)}`);
}

/** A hash over what an entity tag stands for: when it was changed is no part of it. */
export function digestOf(instances: readonly Watched[]): string {
  const texts = instances.map(({ registeredAt: _r, updatedAt: _u, ...rest }) => contentOf(rest));
  return createHash('sha256').update(texts.sort().join('\n')).digest('base64');
}

export function positionOf(revision: string | undefined): Position {
  const position = parsePosition(revision);
  if (!position) throw new Error(`no revision: ${revision}`);
  return position;
}
