import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const GCC = '/usr/bin/gcc';

export interface Clock {
  /** For the environment of the process whose clock it is. */
  env: Record<string, string>;
  /** Wrong by so many ms from now on. */
  set: (ms: number) => void;
}

export interface Clocks {
  make: (name: string) => Clock;
  close: () => void;
}

/** Clocks of processes that can be set while they run; undefined where there is no compiler for the shim. */
export function openClocks(): Clocks | undefined {
  if (!existsSync(GCC)) return undefined;
  const folder = mkdtempSync(join(tmpdir(), 'rollcall-clocks-'));
  const shim = join(folder, 'shim.so');
  execFileSync(GCC, ['-O1', '-shared', '-fPIC', '-o', shim, fileURLToPath(new URL('clock-shim.c', import.meta.url))]);
  return {
    make: (name) => {
      const file = join(folder, name);
      const set = (ms: number) => {
        const bytes = Buffer.alloc(8);
        bytes.writeBigInt64LE(BigInt(ms) * 1_000_000n);
        writeFileSync(file, bytes, { flag: existsSync(file) ? 'r+' : 'w' });
      };
      set(0);
      return { env: { LD_PRELOAD: shim, SKEW_FILE: file }, set };
    },
    close: () => rmSync(folder, { recursive: true, force: true }),
  };
}
