import { Type, type Static } from 'typebox';
import { holdFields } from './hold.js';
import type { Instance } from './instance.js';
import { blank, GroupName, Incarnation, InstanceId, patternRules, Revision, Timestamp, TypeName } from './names.js';

export const CHANGE_KINDS = ['registered', 'updated', 'removed', 'expired', 'restored', 'held', 'released'] as const;
/** What a change can be. */
export type ChangeKind = (typeof CHANGE_KINDS)[number];

export const DEFAULT_EVENTS = 100;
const MAX_EVENTS = 1000;

const KIND_LIST = `^(${CHANGE_KINDS.join('|')})(,(${CHANGE_KINDS.join('|')}))*$`;
patternRules[KIND_LIST] = `must be some of ${CHANGE_KINDS.join(', ')}, separated by commas`;

const Home = Type.Object({ type: TypeName, group: GroupName });

const Event = Type.Object(
  {
    kind: Type.Enum([...CHANGE_KINDS], { examples: ['expired'] }),
    revision: Revision,
    at: Timestamp('When it happened'),
    cause: Type.String({ description: 'What led to it: register, adopt, heartbeat, patch, deregister, lease, recovery, replay, mass-lapse, time, operator', examples: ['lease'] }),
    by: Type.Optional(Type.String({ description: 'Name of the token that caused it', examples: ['fleet'] })),
    replaces: Type.Optional({ ...Incarnation, description: 'The incarnation that a registration took the place of' }),
    lapsed: Type.Optional(Type.Boolean({ description: 'Whether that one had lapsed by then', examples: [false] })),
    from: Type.Optional({ ...Home, description: 'Where a registration moved the id from' }),
    deadline: Type.Optional(Timestamp('The end of the lease that expired')),
    hold: Type.Optional(Type.Object({ type: TypeName, group: GroupName, ...holdFields }, { description: 'With held and released: the group, and why. There is no instance then' })),
    instance: Type.Optional(Type.Unsafe<Instance>(Type.Ref('Instance'))),
  },
  { description: 'One change, with the record after it, or before it for a departure' },
);

export const EventsQuery = Type.Object(
  {
    type: Type.Optional(blank(TypeName)),
    group: Type.Optional(blank(GroupName)),
    instanceId: Type.Optional(blank(InstanceId)),
    kind: Type.Optional(Type.String({ pattern: KIND_LIST, maxLength: 128, description: 'Comma-separated, such as `expired,removed`' })),
    after: Type.Optional(Type.String({ maxLength: 96, description: 'A revision: what came after it, oldest first' })),
    before: Type.Optional(Type.String({ maxLength: 96, description: 'A revision: what came before it, latest first' })),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_EVENTS, description: `At most this many; default ${DEFAULT_EVENTS}` })),
  },
  { additionalProperties: false },
);
export type EventsQuery = Static<typeof EventsQuery>;

export const EventsReply = Type.Object(
  {
    events: Type.Array(Event),
    next: Type.Optional({ ...Revision, description: 'There is more: pass it as `after` or `before`, whichever was used; `before` if none was' }),
    gap: Type.Optional(Type.Boolean({ description: 'Changes after `after` are no longer in the log', examples: [true] })),
  },
  { $id: 'EventsReply' },
);

export const WatchQuery = Type.Object(
  {
    type: Type.Optional(blank(TypeName)),
    group: Type.Optional(blank(GroupName)),
    performance: Type.Optional(Type.Boolean({ default: false, description: 'Tell of `performance` too' })),
  },
  { additionalProperties: false },
);
