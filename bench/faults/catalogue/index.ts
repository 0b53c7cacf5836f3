import type { Elsewhere, Fault } from '../scale.js';
import { redisAway } from './away.js';
import { crowds } from './crowd.js';
import { gateways } from './gateways.js';
import { halfKnown } from './half-known.js';
import { holds } from './holds.js';
import { leases } from './leases.js';
import { loss } from './loss.js';
import { massLapses } from './mass-lapse.js';
import { randomly } from './random.js';
import { rewound } from './rewound.js';
import { sentinel } from './sentinel.js';
import { shortLeases } from './short-leases.js';
import { trouble } from './trouble.js';

export const catalogue: Fault[] = [
  ...loss, ...rewound, ...redisAway, ...gateways, ...holds, ...leases, ...trouble,
  ...sentinel, ...crowds, ...massLapses, ...shortLeases, ...halfKnown, ...randomly,
];

export const elsewhere: Elsewhere[] = [
  { name: '10,000 event streams, 100 of them never read', where: '`bench/watchers.ts`; `test/watch/`' },
  { name: 'the log is trimmed beyond a watcher', where: '`test/watch/`, `test/guarantees/long-gap.test.ts`' },
  { name: 'SIGTERM with a slow request, an event stream and idle sockets', where: '`test/replicas/drain.test.ts`' },
  { name: 'a rolling restart behind HAProxy, callers that retry nothing', where: '`test/replicas/rolling-restart.test.ts`' },
  { name: 'a worker killed or stopped in the middle of its sweep', where: '`test/replicas/sweep-worker-lost.test.ts`' },
];
