import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

const TOKEN_FILE = '.rollcall/token';
const RUNNING_FILE = '.rollcall/running';
const ANSWERS_WITHIN_MS = 500;

/** The token of the embedded mode: minted once, kept for this checkout, readable by its owner only. */
export function embeddedToken(): string {
  try {
    const kept = readFileSync(TOKEN_FILE, 'utf8').trim();
    chmodSync(TOKEN_FILE, 0o600); // a mode given to writeFileSync counts for new files only
    if (/^[!-~]{16,}$/.test(kept)) return kept;
  } catch {
    // none yet
  }
  const token = randomBytes(24).toString('base64url');
  mkdirSync(dirname(TOKEN_FILE), { recursive: true, mode: 0o700 });
  writeFileSync(TOKEN_FILE, `${token}\n`, { mode: 0o600 });
  return token;
}

/** Notes that a gateway with a Redis of its own runs in this folder. The address of one that did so before, if it still answers. */
export async function runningBeside(url: string): Promise<string | undefined> {
  let other = '';
  try {
    mkdirSync(dirname(RUNNING_FILE), { recursive: true, mode: 0o700 });
    other = existsSync(RUNNING_FILE) ? readFileSync(RUNNING_FILE, 'utf8').trim() : '';
    writeFileSync(RUNNING_FILE, `${url}\n`);
  } catch {
    // a folder that is not to be written in: nobody is told
  }
  if (other === url || !other.startsWith('http://')) return undefined;
  const answers = await fetch(`${other}/livez`, { signal: AbortSignal.timeout(ANSWERS_WITHIN_MS) }).then(({ ok }) => ok, () => false);
  return answers ? other : undefined;
}

/** What somebody who just typed `npm start` wants to know: where it is, and a line to paste. */
export function welcome(url: string, host: string, token: string | undefined, engine: string, redisPort: number, other?: string): string {
  const shown = token ?? '<your token>';
  const everywhere = host === '0.0.0.0' || host === '::' ? '\n  on every address of this machine, so whoever reaches it may call\n' : '';
  const beside = other ? `\n  another one runs in this folder, on ${other}: this one knows nothing of its servers;\n  to share them give both the same REDIS_URL\n` : '';
  return `
Rollcall listens on ${url}   (${engine}, in memory, 127.0.0.1:${redisPort})
${everywhere}${beside}
  token       ${token === undefined ? 'as configured' : `${token}   (kept in ${TOKEN_FILE})`}
  Swagger UI  ${url}/docs

Register a server, then look:

  curl -sS ${url}/sd/v1/instances -H 'X-API-Token: ${shown}' -H 'Content-Type: application/json' -d '{"type":"game","group":"kr-1","hostname":"game-1.example.com","ports":[7777]}'
  curl -sS '${url}/sd/v1/instances?type=game&group=kr-1' -H 'X-API-Token: ${shown}'
`;
}
