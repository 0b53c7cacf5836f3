import { isoOf } from '../log/record.js';
import { memberJson, type Member } from '../table/group.js';

/** JSON of a `Snapshot` of the contract: part of one, unless it is the last. */
export function snapshotJson(members: Member[], revision: string, last: boolean): string {
  return `{"instances":[${members.map(memberJson).join(',')}],"revision":${JSON.stringify(revision)}${last ? '' : ',"more":true'}}`;
}

/** JSON of a `PerformanceFrame`. */
export function performanceJson(members: Member[]): string {
  const told = members.map(({ record: { instanceId, type, group }, performance = '{}', renewedAtMs }) => {
    const identity = JSON.stringify({ instanceId, type, group, lastHeartbeat: isoOf(renewedAtMs) });
    return `${identity.slice(0, -1)},"performance":${performance}}`;
  });
  return `{"instances":[${told.join(',')}]}`;
}
