import { Type, type Static } from 'typebox';
import { holdFields } from './hold.js';
import { DEFAULT_LIMIT, MAX_LIMIT, MAX_PROBED } from './limits.js';
import { type Instance, STATUSES } from './instance.js';
import { AFTER_PATTERN, blank, CommaList, GroupName, Incarnation, InstanceId, IntervalMs, LABEL_KEY_PATTERN, Revision, TypeName } from './names.js';


export const InstanceParams = Type.Object({ id: InstanceId }, { additionalProperties: false });

export const RegisterReply = Type.Object(
  {
    instanceId: InstanceId,
    incarnation: Incarnation,
    ttlSeconds: Type.Integer({ description: 'Length of the lease', examples: [600] }),
    heartbeatIntervalMs: IntervalMs('Send a heartbeat this often'),
    revision: Revision,
    observedIp: Type.String({ description: 'The address this request came from', examples: ['203.0.113.7'] }),
  },
  { $id: 'RegisterReply' },
);

const freshness = {
  minRevision: Type.Optional(
    Type.String({ maxLength: 96, description: 'A revision that must be taken into account: with the one a write answered, its caller reads its own write on any replica' }),
  ),
  consistency: Type.Optional(
    Type.Enum(['strong'], { description: 'Take everything into account that was acknowledged anywhere before this call; asks Redis, and is 503 without it' }),
  ),
};

/** How up to date an answer must be. */
export const FreshnessQuery = Type.Object(freshness, { additionalProperties: false });
export type FreshnessQuery = Static<typeof FreshnessQuery>;

/**
 * Labels to choose by. Two spellings: `label.zone=kr-1a`, which people type, and `label[zone]=kr-1a`, which OpenAPI calls `deepObject`
 * and generated clients write. The document knows only the second: OpenAPI has no words for the first.
 */
const LabelFilter = Type.Record(Type.String(), Type.String({ maxLength: 256 }), {
  description: 'Only instances with all of these labels: `label[zone]=kr-1a`, or by hand `label.zone=kr-1a`',
});
const KEY = LABEL_KEY_PATTERN.slice(1, -1);
export const LABEL_PARAMETER = new RegExp(`^label(?:\\.(${KEY})|\\[(${KEY})\\])$`);

export const DiscoverQuery = Type.Object(
  {
    type: Type.Optional(TypeName),
    group: Type.Optional(GroupName),
    status: Type.Optional(
      CommaList(STATUSES, 64, 'Comma-separated, such as `ready,initializing`; all by default'),
    ),
    limit: Type.Optional(
      Type.Integer({ minimum: 1, maximum: MAX_LIMIT, description: `At most this many; default ${DEFAULT_LIMIT}, or ${MAX_LIMIT} when type and group are given; with healthCheck at most ${MAX_PROBED}` }),
    ),
    after: Type.Optional(
      Type.String({
        pattern: AFTER_PATTERN,
        description: 'The `next` of the page before',
      }),
    ),
    healthCheck: Type.Optional(
      Type.Boolean({ description: 'Connect to each instance now and leave out what does not answer' }),
    ),
    include: Type.Optional(Type.Enum(['offline'], { description: 'Also list who left lately, with `departed` saying how' })),
    ...freshness,
  },
  {
    additionalProperties: false,
    patternProperties: {
      [LABEL_PARAMETER.source]: { type: 'string', maxLength: 256 },
    },
    'x-objects': { label: LabelFilter },
  },
);
export type DiscoverQuery = Static<typeof DiscoverQuery>;

export const DiscoverReply = Type.Object(
  {
    instances: Type.Array(Type.Unsafe<Instance>(Type.Ref('Instance')), { description: 'Ordered by type, group, id' }),
    next: Type.Optional(Type.String({ description: 'There is more: pass it as `after`', examples: ['game:kr-1:01JD3V6C8Q4W9X2Z5T7B1N0M3K'] })),
  },
  { $id: 'DiscoverReply' },
);

export type DiscoverReply = Static<typeof DiscoverReply>;

export const GroupParams = Type.Object({ type: TypeName, group: GroupName }, { additionalProperties: false });

export const RemoveQuery = Type.Object(
  {
    type: Type.Optional(blank(TypeName)),
    group: Type.Optional(blank(GroupName)),
    incarnation: Type.Optional(blank(Incarnation)),
  },
  { additionalProperties: false },
);

export const GroupsReply = Type.Object(
  {
    groups: Type.Array(
      Type.Object({
        type: TypeName,
        group: GroupName,
        instances: Type.Integer({ examples: [12] }),
        cordoned: Type.Integer({ examples: [0] }),
        statuses: Type.Object(Object.fromEntries(STATUSES.map((status) => [status, Type.Integer({ examples: [3] })])), {
          description: 'How many live instances are in each status',
        }),
        suspects: Type.Integer({ description: 'How many are past their lease, and listed because the group is held', examples: [0] }),
        hold: Type.Optional(Type.Object(holdFields, { description: 'Most of the group fell silent at once, so nobody is evicted for one lease: it is rarely their fault' })),
      }),
      { description: 'Ordered by type, group' },
    ),
  },
  { $id: 'GroupsReply' },
);
export type GroupsReply = Static<typeof GroupsReply>;
