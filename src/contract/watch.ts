import { Type, type Static } from 'typebox';
import type { Instance } from './instance.js';
import { blank, GroupName, InstanceId, Revision, Timestamp, TypeName } from './names.js';

export const WatchQuery = Type.Object(
  {
    type: Type.Optional(blank(TypeName)),
    group: Type.Optional(blank(GroupName)),
    performance: Type.Optional(Type.Boolean({ description: 'Tell of `performance` too' })),
  },
  { additionalProperties: false },
);

const Snapshot = Type.Object(
  {
    instances: Type.Array(Type.Unsafe<Instance>(Type.Ref('Instance'))),
    revision: Revision,
    more: Type.Optional(Type.Boolean({ description: 'True: another frame of the same snapshot follows', examples: [true] })),
  },
  { $id: 'Snapshot', description: 'Data of `snapshot`: what there is, in frames of at most 1,000; only the last has an `id`' },
);
export type Snapshot = Static<typeof Snapshot>;

const Bookmark = Type.Object(
  { revision: Revision },
  { $id: 'Bookmark', description: 'Data of `bookmark`: nothing of yours changed up to here; resume from it' },
);
export type Bookmark = Static<typeof Bookmark>;

const Reset = Type.Object(
  { reason: Type.String({ examples: ['the log no longer reaches back to this position'] }) },
  { $id: 'Reset', description: 'Data of `reset`: forget what you have, a snapshot follows' },
);
export type Reset = Static<typeof Reset>;

const PerformanceFrame = Type.Object(
  {
    instances: Type.Array(
      Type.Object({
        instanceId: InstanceId,
        type: TypeName,
        group: GroupName,
        lastHeartbeat: Timestamp('When the lease was last renewed'),
        performance: Type.Unsafe<Record<string, unknown>>({ type: 'object', additionalProperties: true, examples: [{ tps: 59.9 }] }),
      }),
    ),
  },
  { $id: 'PerformanceFrame', description: 'Data of `performance`: only with `performance=true`, at most once a second per instance' },
);
export type PerformanceFrame = Static<typeof PerformanceFrame>;

/**
 * What `data` of a watch's events holds, by the name of the event. Clients tell them apart by that name; `Change` by its `kind`, too,
 * which is the name.
 */
export const WatchEvent = Type.Union(['Snapshot', 'Change', 'Bookmark', 'Reset', 'PerformanceFrame'].map((name) => Type.Ref(name)), {
  $id: 'WatchEvent',
  description: 'The `data` of one server-sent event, JSON in one line; which of them, says the name of the `event`',
});

/** The shapes of a watch, for whoever compiles or documents them. */
export const watchSchemas = [Snapshot, Bookmark, Reset, PerformanceFrame, WatchEvent];
