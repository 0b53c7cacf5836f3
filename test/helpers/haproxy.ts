import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { freePort } from './ports.js';
import { ROOT } from './replicas.js';
import { until } from './until.js';

export type Backend = 'strict' | 'serving';

export interface Balancer {
  port: number;
  url: string;
  /** `address:port` of the replicas that HAProxy holds for up, sorted. */
  up: (backend: Backend) => Promise<string[]>;
  log: string[];
  stop: () => Promise<void>;
}

/** Backends for replicas on these loopback ports. */
export function nativeBackends(ports: number[]): string {
  const servers = ports.map((port) => `    server ${port} 127.0.0.1:${port}\n`).join('');
  return `backend strict from strict\n${servers}\nbackend serving from serving\n${servers}`;
}

/** HAProxy with the shipped configuration and these backends. It answers when it is returned; whether replicas are up is the caller's to wait for. */
export async function startHaproxy(backends: string): Promise<Balancer> {
  const dir = mkdtempSync(join(tmpdir(), 'rollcall-haproxy-'));
  const admin = join(dir, 'admin');
  writeFileSync(join(dir, 'backends.cfg'), `global\n    stats socket ${admin}\n\n${backends}`);

  const port = await freePort();
  const child = spawn('haproxy', ['-db', '-f', join(ROOT, 'deploy/haproxy.cfg'), '-f', join(dir, 'backends.cfg')], {
    env: { PATH: process.env.PATH, BALANCER_BIND: `127.0.0.1:${port}` },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const log: string[] = [];
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => log.push(...chunk.toString().split('\n').filter(Boolean)));
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));

  const up = async (backend: Backend) => {
    const [head = [], ...rows] = (await ask(admin, 'show stat')).split('\n').map((row) => row.split(','));
    const [status, address] = [head.indexOf('status'), head.indexOf('addr')];
    return rows.filter((row) => row[0] === backend && row[address] && row[status]?.startsWith('UP')).map((row) => row[address] ?? '').sort();
  };
  const stop = async () => {
    child.kill('SIGKILL');
    await exited;
    rmSync(dir, { recursive: true, force: true });
  };
  try {
    await until(() => up('strict').then(() => true), 5000);
  } catch (error) {
    await stop();
    throw new Error(`haproxy did not start: ${(error as Error).message}\n${log.join('\n')}`, { cause: error });
  }
  return { port, url: `http://127.0.0.1:${port}`, up, log, stop };
}

function ask(path: string, command: string): Promise<string> {
  const socket = connect(path);
  socket.write(`${command}\n`);
  return text(socket);
}
