import { Type, type Static } from 'typebox';
import { Timestamp } from './names.js';

/** Why a group is held. */
export const holdFields = {
  since: Timestamp('When it began'),
  until: Timestamp('Until then nobody of the group is evicted'),
  late: Type.Integer({ description: 'How many had a third of their lease or less left when it began', examples: [30] }),
  members: Type.Integer({ description: 'Of how many', examples: [50] }),
};

export const EvictReply = Type.Object(
  { released: Type.Boolean({ description: 'False: the group was not held, and nothing was done', examples: [true] }) },
  { $id: 'EvictReply' },
);
export type EvictReply = Static<typeof EvictReply>;
