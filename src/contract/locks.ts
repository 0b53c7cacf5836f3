import { Type, type Static } from 'typebox';
import { MAX_LOCK_SECONDS, MAX_LOCK_WAIT_MS } from './limits.js';
import { Name, Timestamp } from './names.js';

const LockName = Name('Name of the lock', 'shop-42');
const Lease = Name('Names this attempt. Repeat it in retries; made for you unless given', '01JD3V6C8Q4W9X2Z5T7B1N0M3K');
const Owner = Type.String({ minLength: 1, maxLength: 128, format: 'text', description: 'Who, for people: it is shown to whoever is refused', examples: ['game-7'] });
const FencingToken = Type.Integer({ description: 'Greater than any before. Send it with each write that the lock protects, and let its receiver refuse smaller ones', examples: [1763683200123456] });
const ttlSeconds = Type.Integer({ minimum: 1, maximum: MAX_LOCK_SECONDS, description: 'It is free again after so long, unless it is renewed', examples: [10] });

export const LockParams = Type.Object({ name: LockName }, { additionalProperties: false });
export const LockRequest = Type.Object(
  {
    owner: Owner,
    ttlSeconds,
    lease: Type.Optional(Lease),
    waitMs: Type.Optional(Type.Integer({ minimum: 0, maximum: MAX_LOCK_WAIT_MS, description: 'How long to wait for it, in the order of arrival; 0 unless given', examples: [5000] })),
  },
  { $id: 'LockRequest', additionalProperties: false, description: 'Who wants a lock, for how long' },
);
export const LockRenewal = Type.Object({ lease: Lease, ttlSeconds }, { $id: 'LockRenewal', additionalProperties: false, description: 'Hold it for so long from now' });
export const UnlockQuery = Type.Object({ lease: Lease }, { additionalProperties: false });
export const LockReply = Type.Object(
  { lease: Lease, fencingToken: FencingToken, expiresAt: Timestamp('When it is free again unless renewed') },
  { $id: 'LockReply', description: 'A lock that is held' },
);
export type LockReply = Static<typeof LockReply>;
export const LockState = Type.Object(
  {
    held: Type.Boolean({ examples: [true] }),
    owner: Type.Optional(Owner),
    fencingToken: Type.Optional(FencingToken),
    expiresAt: Type.Optional(Timestamp('When it is free again unless renewed')),
    waiting: Type.Integer({ description: 'How many wait for it', examples: [0] }),
  },
  { $id: 'LockState', description: 'Who holds a lock' },
);
export type LockState = Static<typeof LockState>;
export const lockSchemas = [LockRequest, LockRenewal, LockReply, LockState];
