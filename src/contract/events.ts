import { Type, type Static } from 'typebox';
import { holdFields } from './hold.js';
import type { Instance } from './instance.js';
import { CHANGE_KINDS, HOLD_KINDS, INSTANCE_KINDS } from './limits.js';
import { blank, CommaList, GroupName, Incarnation, InstanceId, Revision, Timestamp, TypeName } from './names.js';

export const DEFAULT_EVENTS = 100;
const MAX_EVENTS = 1000;

const Home = Type.Object({ type: TypeName, group: GroupName });

/** What every change says of itself. */
const about = {
  revision: Revision,
  at: Timestamp('When it happened'),
  by: Type.Optional(Type.String({ description: 'Name of the token that caused it', examples: ['fleet'] })),
};

const InstanceEvent = Type.Object(
  {
    kind: Type.Enum([...INSTANCE_KINDS], { examples: ['expired'] }),
    ...about,
    cause: Type.String({ description: 'What led to it: register, adopt, heartbeat, patch, deregister, lease, recovery, replay', examples: ['lease'] }),
    replaces: Type.Optional({ ...Incarnation, description: 'The incarnation that a registration took the place of' }),
    lapsed: Type.Optional(Type.Boolean({ description: 'Whether that one had lapsed by then', examples: [false] })),
    from: Type.Optional({ ...Home, description: 'Where a registration moved the id from' }),
    deadline: Type.Optional(Timestamp('The end of the lease that expired')),
    instance: Type.Unsafe<Instance>(Type.Ref('Instance')),
  },
  { $id: 'InstanceEvent', description: 'A change of one instance, with its record after it, or before it for a departure' },
);

const HoldEvent = Type.Object(
  {
    kind: Type.Enum([...HOLD_KINDS], { examples: ['held'] }),
    ...about,
    cause: Type.String({ description: 'What led to it: mass-lapse, time, operator', examples: ['mass-lapse'] }),
    hold: Type.Object({ type: TypeName, group: GroupName, ...holdFields }),
  },
  { $id: 'HoldEvent', description: 'Most of a group fell silent at once, so nobody of it is evicted for one lease (`held`); that is over (`released`). Its instances are as they were' },
);

const Moved = Type.Object(
  {
    kind: Type.Enum(['removed'], { examples: ['removed'] }),
    ...about,
    cause: Type.Enum(['moved'], { examples: ['moved'] }),
    to: Type.Optional({ ...Home, description: 'Where it is now, unless the token may not see that' }),
    instance: Type.Object({ instanceId: InstanceId, incarnation: Type.Optional(Incarnation), ...Home.properties }),
  },
  { $id: 'Moved', description: 'The instance left what is watched for another type or group; it is named, not shown' },
);

type InstanceEvent = Static<typeof InstanceEvent>;
type HoldEvent = Static<typeof HoldEvent>;

const Event = Type.Union([Type.Unsafe<InstanceEvent>(Type.Ref('InstanceEvent')), Type.Unsafe<HoldEvent>(Type.Ref('HoldEvent'))], {
  $id: 'Event',
  description: 'An entry of the log of changes',
});

/** What a watcher is told of an entry of the log. */
const Change = Type.Union([Type.Unsafe<Static<typeof Event>>(Type.Ref('Event')), Type.Unsafe<Static<typeof Moved>>(Type.Ref('Moved'))], {
  $id: 'Change',
  description: 'Data of the events `registered`, `updated`, `removed`, `expired`, `restored`, `held`, `released`. Their `id` is the `revision`',
});
export type Change = Static<typeof Change>;

export const EventsQuery = Type.Object(
  {
    type: Type.Optional(blank(TypeName)),
    group: Type.Optional(blank(GroupName)),
    instanceId: Type.Optional(blank(InstanceId)),
    kind: Type.Optional(CommaList(CHANGE_KINDS, 128, 'Comma-separated, such as `expired,removed`; all by default')),
    after: Type.Optional(Type.String({ maxLength: 96, description: 'A revision: what came after it, oldest first' })),
    before: Type.Optional(Type.String({ maxLength: 96, description: 'A revision: what came before it, latest first' })),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_EVENTS, description: `At most this many; default ${DEFAULT_EVENTS}` })),
  },
  { additionalProperties: false },
);
export type EventsQuery = Static<typeof EventsQuery>;

export const EventsReply = Type.Object(
  {
    events: Type.Array(Type.Unsafe<Static<typeof Event>>(Type.Ref('Event'))),
    next: Type.Optional({ ...Revision, description: 'There is more: pass it as `after` or `before`, whichever was used; `before` if none was' }),
    gap: Type.Optional(Type.Boolean({ description: 'Changes after `after` are no longer in the log', examples: [true] })),
  },
  { $id: 'EventsReply' },
);
export type EventsReply = Static<typeof EventsReply>;

/** The shapes of the log, for whoever compiles or documents them. */
export const eventSchemas = [InstanceEvent, HoldEvent, Moved, Event, Change];
