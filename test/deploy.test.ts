import { execFile, execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, inject, onTestFinished, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { freshPrefix, registration, TOKEN } from './helpers/gateway.js';
import { assembleImage, readDockerfile } from './helpers/image.js';
import { ROOT, startReplica } from './helpers/replicas.js';
import { until } from './helpers/until.js';

const run = promisify(execFile);
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8');
const DRAIN_SECONDS = 10;
const stages = readDockerfile();
const image = stages.at(-1);
const command = JSON.parse(image?.value('CMD') ?? '') as string[];

/** Lines below `backend <name>`. */
function backendOf(config: string, name: string) {
  return config.split(/^(?=backend )/m).find((part) => part.startsWith(`backend ${name} `))?.split('\n').slice(1).filter(Boolean);
}

const environments = readdirSync(join(ROOT, 'deploy')).filter((name) => name.startsWith('haproxy.backends.'));

test.for(environments)('HAProxy accepts the shared configuration with %s, and both backends name the same servers', async (name) => {
  const { stderr, stdout } = await run('haproxy', ['-c', '-f', join(ROOT, 'deploy/haproxy.cfg'), '-f', join(ROOT, 'deploy', name)]);
  expect(stdout + stderr).not.toMatch(/warning/i);
  const config = read(`deploy/${name}`);
  expect(backendOf(config, 'strict')).toEqual(backendOf(config, 'serving'));
});

test('there is a backends file for compose and one for known addresses', () => {
  expect(environments.sort()).toEqual(['haproxy.backends.compose.cfg', 'haproxy.backends.native.cfg']);
});

test('no sample replica has a port that a stray `npm start` may take: it takes the next free one from 3000', () => {
  const ports = [...read('deploy/haproxy.backends.native.cfg').matchAll(/ server .*:(\d+)$/gm)].map(([, port]) => Number(port));
  expect(ports).toEqual([4001, 4002, 4003, 4001, 4002, 4003]);
});

test('the image runs as a user without rights, in production, directly as process 1', () => {
  expect(stages.map((stage) => stage.value('FROM')?.split(' ')[0])).toEqual(stages.map(() => 'node:24-bookworm-slim'));
  expect(image?.value('USER')).toBe('node');
  expect(image?.value('ENV')).toBe('NODE_ENV=production');
  expect(image?.value('STOPSIGNAL')).toBe('SIGTERM');
  expect(command).toEqual(['node', 'dist/server.js']);
  expect(stages.flatMap(({ steps }) => steps).filter(([name, rest]) => name === 'RUN' && rest.startsWith('npm ')).map(([, rest]) => rest)).toEqual([
    'npm ci',
    'npm run build',
    'npm ci --omit=dev',
  ]);
});

test('the build context holds what the Dockerfile copies, and nothing else', () => {
  const copied = stages.flatMap(({ steps }) => steps).filter(([name, rest]) => name === 'COPY' && !rest.startsWith('--from'));
  const sources = copied.flatMap(([, rest]) => rest.split(' ').slice(0, -1));
  const [first, ...allowed] = read('.dockerignore').split('\n').filter((line) => line && !line.startsWith('#'));
  expect(first).toBe('*');
  expect(allowed.sort()).toEqual([...new Set(sources)].map((path) => `!${path}`).sort());
});

test('what the image holds is enough to run, and its health check tells alive from dead', async () => {
  const { folder, remove } = assembleImage();
  onTestFinished(remove);
  const replica = await startReplica({ folder, env: { REDIS_URL: inject('redisUrl'), REDIS_PREFIX: freshPrefix(), API_TOKENS: TOKEN } });
  onTestFinished(replica.kill);
  const headers = { 'x-api-token': TOKEN, 'content-type': 'application/json' };
  const registered = await fetch(`${replica.url}/sd/v1/instances`, { method: 'POST', headers, body: JSON.stringify(registration()) });
  expect(registered.status).toBe(201);
  for (const path of ['/docs/', '/docs/static/swagger-ui-bundle.js', '/openapi.json']) expect((await fetch(replica.url + path)).status, path).toBe(200);

  const [, ...args] = JSON.parse(image?.value('HEALTHCHECK')?.replace(/^.* CMD /, '') ?? '') as string[];
  const check = () => run(process.execPath, args, { env: { PORT: String(replica.port) } });
  await expect(check()).resolves.toBeDefined();
  await replica.kill();
  await expect(check()).rejects.toMatchObject({ code: 1 });
});

test('compose publishes the balancer only, knows no token, and gives a replica time to drain', () => {
  const { services } = parse(read('docker-compose.yml'));
  const { redis, gateway, balancer } = services;
  expect(Object.keys(services)).toEqual(['redis', 'gateway', 'balancer']);
  expect(Object.keys(services).filter((name) => services[name].ports)).toEqual(['balancer']);
  expect(gateway.environment.API_TOKENS).toMatch(/^\$\{API_TOKENS:\?.*openssl rand/);
  expect(gateway.environment).toMatchObject({ REDIS_URL: 'redis://redis:6379', TRUST_PROXY: expect.stringContaining('172.16.0.0/12') as string });
  expect(gateway).toMatchObject({ build: '.', init: true, depends_on: { redis: { condition: 'service_healthy' } } });
  expect(gateway).not.toHaveProperty('container_name'); // it would forbid --scale
  expect(Number.parseInt(gateway.stop_grace_period as string, 10)).toBeGreaterThan(DRAIN_SECONDS);
  expect(redis.command.join(' ')).toMatch(/--appendonly yes.* --maxmemory-policy noeviction/);
  expect(redis.healthcheck).toBeDefined();
  const mounted = balancer.volumes.map((mount: string) => mount.split(':').slice(0, 2)) as [string, string][];
  expect(balancer.command).toEqual(['haproxy', ...mounted.flatMap(([, inside]) => ['-f', inside])]);
  expect(mounted.map(([outside]) => outside)).toEqual(['./deploy/haproxy.cfg', './deploy/haproxy.backends.compose.cfg']);
});

test('the Kubernetes manifests select the same pods, probe routes that exist, and give a replica time to drain', () => {
  const documents = parseAllDocuments(read('deploy/kubernetes/rollcall.yaml')).map((document) => document.toJS());
  const [deployment, service, budget] = documents;
  expect(documents.map(({ kind }) => kind)).toEqual(['Deployment', 'Service', 'PodDisruptionBudget']);
  const { template, selector, replicas } = deployment.spec;
  for (const selected of [selector.matchLabels, service.spec.selector, budget.spec.selector.matchLabels]) expect(template.metadata.labels).toEqual(selected);
  expect(replicas).toBeGreaterThan(budget.spec.maxUnavailable as number);

  const [container] = template.spec.containers;
  const paths = ['startupProbe', 'livenessProbe', 'readinessProbe'].map((probe) => container[probe].httpGet.path as string);
  expect(paths).toEqual(['/livez', '/livez', '/readyz']);
  expect(Object.keys(parse(read('openapi.yaml')).paths)).toEqual(expect.arrayContaining(paths));
  expect(container.ports[0]).toEqual({ name: service.spec.ports[0].targetPort, containerPort: Number(image?.value('EXPOSE')) });
  const [sleeps, seconds] = container.lifecycle.preStop.exec.command as string[];
  expect(sleeps).toBe('sleep');
  expect(template.spec.terminationGracePeriodSeconds).toBeGreaterThan(Number(seconds) + DRAIN_SECONDS);
  expect(template.spec.securityContext.runAsNonRoot).toBe(true);
  expect(container.securityContext).toEqual({ allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } });
});

test('the systemd unit starts what the image starts, and gives it time to drain', () => {
  const unit = read('deploy/rollcall.service');
  const setting = (name: string) => new RegExp(`^${name}=(.*)$`, 'm').exec(unit)?.[1];
  expect(setting('ExecStart')).toBe(`/usr/bin/${command.join(' ')}`);
  expect(setting('Environment')).toBe(image?.value('ENV'));
  expect(Number(setting('TimeoutStopSec'))).toBeGreaterThan(DRAIN_SECONDS);
  expect(unit).not.toMatch(/^(MemoryDenyWriteExecute|Environment=.*TOKEN)/m); // the first stops V8, the second shows a secret
});

const unit = read('deploy/rollcall.service');
const unitSetting = (name: string) => new RegExp(`^${name}=(.*)$`, 'm').exec(unit)?.[1] ?? '';
const SETS = JSON.parse(read('test/helpers/syscalls.json')) as Record<string, string>;
const PYTHON = '/usr/bin/python3'; // Debian's: what else is first on the PATH may not have ctypes

/** The command under the unit's own filters, as systemd would put them on it. */
function underFilters(calls: string, families: string, ...args: string[]) {
  const names = calls.split(' ').map((set) => SETS[set] ?? set).join(' ');
  return spawnSync(PYTHON, [join(ROOT, 'test/helpers/restricted.py'), names, families, process.execPath, ...args], { encoding: 'utf8' });
}

test('the filters of the systemd unit let Node.js run, and each of their exceptions is needed', () => {
  const [calls, families] = [unitSetting('SystemCallFilter'), unitSetting('RestrictAddressFamilies')];
  const look = ['-e', 'console.log(Object.keys(os.networkInterfaces()).length > 0)'];
  expect(underFilters(calls, families, ...look)).toMatchObject({ status: 0, stdout: 'true\n' });
  expect(underFilters(calls.replace(' @pkey', ''), families, ...look).signal).toBe('SIGSYS');
  expect(underFilters(calls, families.replace(' AF_NETLINK', ''), ...look)).toMatchObject({ status: 1, stderr: expect.stringContaining('uv_interface_addresses') as string });
});

const RECEIVER = "import socket,sys\ns=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM)\ns.bind(sys.argv[1])\nprint('bound',flush=True)\nwhile True: print(s.recv(4096).decode(),flush=True)";

test('under the filters of the systemd unit the gateway starts, and tells systemd when it is ready and when it stops', { timeout: 60_000 }, async () => {
  expect([unitSetting('Type'), unitSetting('NotifyAccess')]).toEqual(['notify', 'all']);
  const dir = mkdtempSync(join(tmpdir(), 'rollcall-test-unit-'));
  const socket = join(dir, 'notify');
  const receiver = spawn(PYTHON, ['-c', RECEIVER, socket], { stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => {
    receiver.kill('SIGKILL');
    rmSync(dir, { recursive: true });
  });
  let told = '';
  receiver.stdout.on('data', (chunk: Buffer) => (told += chunk.toString()));
  await until(() => told.includes('bound'), 20_000);
  const calls = unitSetting('SystemCallFilter').split(' ').map((set) => SETS[set] ?? set).join(' ');
  const wrapper = [PYTHON, join(ROOT, 'test/helpers/restricted.py'), calls, unitSetting('RestrictAddressFamilies')];
  const replica = await startReplica({ wrapper, withinMs: 30_000, env: { REDIS_URL: inject('redisUrl'), REDIS_PREFIX: freshPrefix(), API_TOKENS: TOKEN, NOTIFY_SOCKET: socket } });
  onTestFinished(replica.kill);
  await until(() => told.includes('READY=1'), 20_000);
  expect(told).not.toContain('STOPPING=1');
  replica.signal('SIGTERM');
  await until(() => told.includes('STOPPING=1'), 20_000);
  expect((await replica.exit()).code).toBe(0);
  expect(replica.log.filter((line) => line.includes('systemd was not told'))).toEqual([]);
});

test('the Prometheus sample scrapes /metrics of each replica with a token from a file', () => {
  const [job] = parse(read('deploy/prometheus.yml')).scrape_configs;
  expect(job).toMatchObject({ metrics_path: '/metrics', authorization: { type: 'Bearer', credentials_file: expect.any(String) as string } });
  expect(job.dns_sd_configs).toEqual([expect.objectContaining({ names: ['gateway'], type: 'A', port: 3000 })]);
});

test('every file of deploy/ stands in its README', () => {
  const files = execFileSync('find', ['.', '-type', 'f', '!', '-name', 'README.md'], { cwd: join(ROOT, 'deploy'), encoding: 'utf8' });
  for (const file of files.split('\n').filter(Boolean)) expect(read('deploy/README.md')).toContain(`\`${file.slice(2)}\``);
});
