import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { ROOT } from './replicas.js';

export interface Stage {
  /** Instructions with their arguments, in order; continued lines are one. */
  steps: [instruction: string, rest: string][];
  value: (instruction: string) => string | undefined;
}

/** The stages of the Dockerfile. */
export function readDockerfile(): Stage[] {
  const text = readFileSync(join(ROOT, 'Dockerfile'), 'utf8').replace(/^#.*\n/gm, '').replace(/\\\n\s*/g, '');
  const stages: Stage[] = [];
  for (const line of text.split('\n').filter(Boolean)) {
    const [, instruction = '', rest = ''] = /^(\S+)\s+(.*)$/.exec(line) ?? [];
    if (instruction === 'FROM') {
      const steps: Stage['steps'] = [];
      stages.push({ steps, value: (wanted) => steps.find(([name]) => name === wanted)?.[1] });
    }
    stages.at(-1)?.steps.push([instruction, rest]);
  }
  return stages;
}

/** A folder with what the image's last stage holds, and nothing else: of node_modules, what `npm ci --omit=dev` would install. */
export function assembleImage() {
  const folder = mkdtempSync(join(tmpdir(), 'rollcall-image-'));
  for (const [instruction, rest] of readDockerfile().at(-1)?.steps ?? []) {
    if (instruction !== 'COPY') continue;
    const [target = '', ...sources] = rest.split(/\s+/).filter((word) => !word.startsWith('--')).reverse();
    for (const source of sources.map((path) => path.replace(/^\/app\//, ''))) {
      if (source === 'node_modules') linkProductionModules(join(folder, 'node_modules'));
      else cpSync(join(ROOT, source), join(folder, target === './' ? source : target), { recursive: true });
    }
  }
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

function linkProductionModules(target: string) {
  const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as { packages: Record<string, { dev?: boolean }> };
  for (const [path, { dev }] of Object.entries(packages)) {
    const [, name] = /^node_modules\/((?:@[^/]+\/)?[^/]+)$/.exec(path) ?? [];
    if (name === undefined || dev || !existsSync(join(ROOT, path))) continue;
    mkdirSync(dirname(join(target, name)), { recursive: true });
    symlinkSync(join(ROOT, path), join(target, name));
  }
}
