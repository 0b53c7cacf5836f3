import { homeKey } from '../../registry/home.js';
import type { Beat, BeatResult } from '../../registry/registry.js';
import { encodePatch } from './codec.js';

/** A beat as heartbeat.lua takes it: the id, the letters of the parts that follow, those parts. */
export function encodeBeat(beat: Beat): string[] {
  const [status, customState, labels] = encodePatch(beat);
  const args = [beat.instanceId, ''];
  addPart(args, 'i', beat.incarnation);
  addPart(args, 'h', beat.home && homeKey(beat.home));
  addPart(args, 'p', beat.performance && JSON.stringify(beat.performance));
  addPart(args, 's', status);
  addPart(args, 'c', customState);
  addPart(args, 'l', labels);
  return args;
}

function addPart(args: string[], letter: string, part: string | undefined) {
  if (!part) return;
  args[1] += letter;
  args.push(part);
}

/** What heartbeat.lua replied to it. */
export function beatResult(reply: unknown): BeatResult {
  const [code, said = '', expiresAtMs, ttlMs] = reply as [number, string?, string?, string?];
  switch (code) {
    case 200:
      return { status: 200, revision: said, expiresAtMs: Number(expiresAtMs), ttlMs: Number(ttlMs) };
    case 404:
      return { status: 404, code: 'instance_not_found', epoch: said };
    case 409:
      return { status: 409, code: 'stale_incarnation', epoch: said };
    case 400:
      return { status: 400, code: 'invalid_request', detail: said };
    default:
      return { status: 503, code: 'store_unavailable', detail: said };
  }
}

