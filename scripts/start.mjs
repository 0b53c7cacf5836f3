// `npm start`: builds when `dist` is missing or older than `src`, then runs the gateway in this process, as the container does.
// It builds only on a Node.js that is new enough: an older one would end in the compiler, with a stack.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  process.stderr.write(`Rollcall needs Node.js 20.19 or newer, and this is ${process.version}: install a newer one from https://nodejs.org/en/download\n`);
  process.exit(1);
}

const root = fileURLToPath(new URL('..', import.meta.url));
const built = join(root, 'dist', 'server.js');

const newest = (folder) =>
  readdirSync(join(root, folder), { recursive: true }).reduce((latest, name) => Math.max(latest, statSync(join(root, folder, name)).mtimeMs), 0);

if (!existsSync(built) || statSync(built).mtimeMs < Math.max(newest('src'), statSync(join(root, 'tsconfig.json')).mtimeMs)) {
  process.stderr.write('building …\n');
  execFileSync('npm', ['run', '--silent', 'build'], { cwd: root, stdio: 'inherit' });
}
await import(built);
