import { randomFillSync } from 'node:crypto';
import { monotonicFactory } from 'ulid';

/** Random 32-bit numbers from a pool: one system call for a thousand of them. `ulid()` by itself makes one per character. */
const pool = new Uint32Array(1024);
let used = pool.length;

export function random32(): number {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  return pool[used++] as number;
}

const monotonic = monotonicFactory(() => random32() / 2 ** 32);

/** A ULID, greater than every one this process minted before. https://github.com/ulid/spec */
export const mintId = () => monotonic();
