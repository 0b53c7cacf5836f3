import { changeJson, departureByMoveJson } from '../../registry/log/change.js';
import { revisionOf } from '../../registry/revision.js';
import { performanceJson, snapshotJson } from '../../registry/watch/frame-data.js';
import type { Frames } from '../../registry/watch/frames.js';

/** How long a client waits before it comes back, in ms; spread, so that a replica's watchers do not all come at once. */
const RETRY_MS = 1000;
const RETRY_SPREAD_MS = 2000;

const retry = (end: string) => () => Buffer.from(`retry: ${RETRY_MS + Math.round(Math.random() * RETRY_SPREAD_MS)}\n${end}`);
const frame = (event: string, data: string, id?: string) => Buffer.from(`${id === undefined ? '' : `id: ${id}\n`}event: ${event}\ndata: ${data}\n\n`);

/**
 * What watchers are told, as server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html. Data is JSON in
 * one line. `id` is a position to resume from: only frames that complete one carry it.
 */
export const sseFrames: Frames = {
  opening: retry(''), // a line of the first frame: some readers take a block of its own for an event without data
  farewell: retry('\n'),
  keepAlive: Buffer.from(': keep-alive\n\n'),

  snapshot: (members, revision, last) => frame('snapshot', snapshotJson(members, revision, last), last ? revision : undefined),
  change: (change) => frame(change.kind ?? '', changeJson(change), revisionOf(change)),
  moved: (change, may) => frame('removed', departureByMoveJson(change, may), revisionOf(change)),
  bookmark: (revision) => frame('bookmark', JSON.stringify({ revision }), revision),
  reset: (reason) => frame('reset', JSON.stringify({ reason })),

  performance: (members) => frame('performance', performanceJson(members)),
};
