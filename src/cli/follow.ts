import { Catalog, RollcallError } from '../client/index.js';
import type { Change, Instance } from '../contract/index.js';
import { instancesTable, table } from './print.js';
import type { ListOptions, Talk } from './verbs.js';

export interface FollowOptions {
  type?: string;
  group?: string;
  json?: boolean;
}

const REDRAW_MS = 1000;
const CLEAR = '\x1b[H\x1b[2J';

/** Every change as a line, until it is interrupted. */
export async function watch({ client, out, coloured }: Talk, { type, group, json }: FollowOptions, signal: AbortSignal) {
  for await (const { event, data } of client.watch({ ...(type && { type }), ...(group && { group }) }, { signal })) {
    if (event === 'bookmark') continue;
    if (json) out.write(`${JSON.stringify({ event, data })}\n`);
    else if (event === 'snapshot') out.write(data.instances.length === 0 ? '' : instancesTable(data.instances, Date.now(), coloured));
    else if (event !== 'reset' && event !== 'performance') out.write(line(data, coloured));
  }
}

function line(change: Change, coloured: boolean): string {
  const { kind, at, cause, by, instance } = change as Change & { by?: string; instance?: Instance };
  const who = instance ? `${instance.type}/${instance.group}/${instance.instanceId}` : '';
  return table([[], [at, kind, who, `${cause}${by === undefined ? '' : ` by ${by}`}${instance?.customState === undefined ? '' : ` (${instance.customState})`}`]], coloured).slice(1);
}

/** The table, drawn anew at each change and once a second; without a terminal each list as a line of JSON. */
export async function listLive({ client, out, coloured }: Talk, { type, group, status, label, offline, json }: ListOptions, signal: AbortSignal) {
  if (offline) throw new RollcallError('invalid_request', 'list: --offline and --watch do not go together');
  const followed = new Catalog(client, { ...(type && { type }), ...(group && { group }) });
  const isMeant = ({ status: now, labels }: Instance) => (!status || status.split(',').includes(now)) && Object.entries(label ?? {}).every(([key, value]) => labels[key] === value);
  const draw = () => {
    if (!followed.listed) return;
    const instances = followed.instances.filter(isMeant);
    if (json || !out.isTTY) return void out.write(`${JSON.stringify(instances)}\n`);
    out.write(`${CLEAR}${instancesTable(instances, Date.now(), coloured)}${followed.live ? '' : '\nno gateway answers: this is the last list\n'}`);
  };
  followed.on('change', draw);
  const timer = out.isTTY ? setInterval(draw, REDRAW_MS) : undefined;
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
  clearInterval(timer);
  followed.close();
}
