import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const FOLDERS = ['src', 'lua'];

/** Files of `src/` and `lua/` below this root that hold a text, one entry for each time that they do. */
export function filesHolding(text: string, root: string): string[] {
  return FOLDERS.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => /\.(?:ts|tsx|lua)$/.test(name))
      .flatMap((name) => {
        const times = readFileSync(join(root, folder, name), 'utf8').split(text).length - 1;
        return Array.from({ length: times }, () => join(folder, name));
      }),
  );
}
