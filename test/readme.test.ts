import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { freePort } from './helpers/ports.js';
import { until } from './helpers/until.js';

const README = readFileSync('README.md', 'utf8');

interface Block {
  terminal: string;
  commands: string;
}

/** What the README says to paste, in its order: each block names its terminal in its first line. */
const blocks = [...README.matchAll(/```sh\n# terminal (\d)\n([\s\S]*?)```/g)].map(([, terminal = '', commands = '']): Block => ({ terminal, commands }));

/** A checkout to stand in, whose token is its own. */
function checkout(): string {
  const folder = mkdtempSync(join(tmpdir(), 'rollcall-readme-'));
  for (const name of readdirSync('.')) if (!['.rollcall', '.git'].includes(name)) symlinkSync(resolve(name), join(folder, name));
  mkdirSync(join(folder, '.rollcall'), { mode: 0o700 });
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A shell as somebody has it open: what is pasted runs line by line, and what it exports lasts. */
function openTerminal(cwd: string, port: number) {
  const shell = spawn('bash', ['--norc'], { cwd, env: { PATH: process.env.PATH, HOME: cwd, PORT: String(port) }, stdio: 'pipe', detached: true });
  const said = { out: '', err: '' };
  shell.stdout.on('data', (chunk: Buffer) => (said.out += chunk.toString()));
  shell.stderr.on('data', (chunk: Buffer) => (said.err += chunk.toString()));
  const closed = new Promise((done) => shell.once('close', done));
  onTestFinished(async () => {
    if (shell.pid !== undefined && shell.exitCode === null) process.kill(-shell.pid, 'SIGTERM'); // the shell and what it runs
    await closed;
  });
  // What is installed here is what `npm ci` would install.
  shell.stdin.write('npm() { [ "$1" = ci ] || command npm "$@"; }\n');
  const paste = (text: string) => void shell.stdin.write(text.replaceAll(':3000', `:${port}`));
  let runs = 0;
  /** Pastes, waits until the prompt would be back, and gives what was printed. */
  const run = async (text: string) => {
    const [from, mark] = [said.out.length, `back-${++runs}`];
    paste(`${text}echo ${mark}\n`);
    await until(() => said.out.endsWith(`${mark}\n`), 20_000);
    return said.out.slice(from, -mark.length - 1);
  };
  return { said, paste, run };
}

/** What each block of terminal 2 prints, line by line. */
const ANSWERS: RegExp[][] = [
  [],
  [/"instanceId":"game-7","incarnation":"boot-1","ttlSeconds":600/],
  [/"nextHeartbeatMs":/, /"nextHeartbeatMs":/, /"results":\[\{"instanceId":"game-7","status":200\},\{"instanceId":"nobody","status":404/],
  [/"instances":\[\{"instanceId":"game-7"/, /"instances":\[\{"instanceId":"game-7".*"tps":59.9/, /^\{"instanceId":"game-7"/, /"groups":\[\{"type":"game","group":"kr-1","instances":1/],
  [/"status":"shutting_down".*"customState":"saving"/, /"cordoned":true/, /^HTTP\/1.1 204/],
  [/"kind":"removed"/, /"departed":\{"kind":"removed"/],
  [/"code":"invalid_request".*\/ports\/0/],
];

test('what the README says to paste works, from top to bottom, in the terminals that it names', { timeout: 60_000 }, async () => {
  const [folder, port] = [checkout(), await freePort()];
  const open = new Map(['1', '2', '3'].map((name) => [name, openTerminal(folder, port)]));
  const terminal = (name: string) => open.get(name) as ReturnType<typeof openTerminal>;
  const answered: string[] = [];
  for (const { terminal: name, commands } of blocks) {
    if (name === '1') {
      terminal('1').paste(commands); // it stays
      await until(async () => (await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => undefined))?.status === 200, 40_000);
    } else if (name === '3') {
      terminal('3').paste(commands);
      await until(() => terminal('3').said.out.includes('event: snapshot'));
    } else {
      answered.push(await terminal('2').run(commands));
    }
  }
  expect(answered).toHaveLength(ANSWERS.length);
  for (const [i, expected] of ANSWERS.entries()) {
    const lines = (answered[i] ?? '').split('\n');
    expect(lines.at(-1)).toBe(''); // the prompt stands at the beginning of a line
    for (const [n, pattern] of expected.entries()) expect(lines[n]).toMatch(pattern);
  }
  await until(() => terminal('3').said.out.includes('event: removed'));
  expect(terminal('3').said.out.match(/^event: \w+$/gm)).toEqual(['event: snapshot', 'event: updated', 'event: updated', 'event: removed']);
  expect([terminal('2').said.err, terminal('3').said.err]).toEqual(['', '']);
});

test('every terminal sets what its commands use, and curl says what is wrong when nobody answers', () => {
  for (const name of ['2', '3']) {
    const pasted = blocks.filter(({ terminal }) => terminal === name).map(({ commands }) => commands).join('');
    for (const [, variable] of pasted.matchAll(/\$([A-Z]+)/g)) expect(pasted.indexOf(`export ${variable}=`)).toBeGreaterThanOrEqual(0);
  }
  for (const document of [README, readFileSync('docs/api.md', 'utf8')]) expect(document).not.toMatch(/curl (?!-sS)-/);
});
