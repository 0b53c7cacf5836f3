import { Type, type Static } from 'typebox';
import { MAX_BEATS } from './limits.js';
import { InstanceId, IntervalMs, Revision, Timestamp } from './names.js';
import { beatFields } from './instance.js';
import { ProblemCode } from './problem.js';

export const Heartbeat = Type.Object(beatFields, {
  $id: 'Heartbeat',
  additionalProperties: false,
  description: 'What may ride a heartbeat; all of it optional, the whole body too',
});
export type Heartbeat = Static<typeof Heartbeat>;

export const HeartbeatReply = Type.Object(
  {
    nextHeartbeatMs: IntervalMs('Send the next heartbeat after this long'),
    expiresAt: Timestamp('When the lease ends unless renewed'),
    revision: Revision,
  },
  { $id: 'HeartbeatReply' },
);
export type HeartbeatReply = Static<typeof HeartbeatReply>;

export const HeartbeatBatch = Type.Array(
  Type.Object({ instanceId: InstanceId, ...beatFields }, { additionalProperties: false }),
  { $id: 'HeartbeatBatch', minItems: 1, maxItems: MAX_BEATS, description: `1 to ${MAX_BEATS} heartbeats, applied in order` },
);
export type HeartbeatBatch = Static<typeof HeartbeatBatch>;

export const HeartbeatBatchReply = Type.Object(
  {
    results: Type.Array(
      Type.Object({
        instanceId: InstanceId,
        status: Type.Integer({ description: '200, 400, 403, 404, 409 or 503, as for a single heartbeat', examples: [200] }),
        code: Type.Optional(ProblemCode),
      }),
      { description: 'One per heartbeat, in order' },
    ),
    nextHeartbeatMs: IntervalMs('Send the next batch after this long'),
    revision: Type.Optional({ ...Revision, description: 'The latest among those renewed; absent when none was' }),
  },
  { $id: 'HeartbeatBatchReply' },
);
