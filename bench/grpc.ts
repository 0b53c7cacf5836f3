// `npx tsx bench/grpc.ts`: 1,000 gRPC calls a second to `sd:///coupon`, while a backend comes, one drains and one is killed. What must be so: see the last lines.
import { spawn, type ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { credentials, makeGenericClientConstructor, status, type ServiceError } from '@grpc/grpc-js';
import { coupons, type Coupon } from '../examples/coupons.js';
import { createClient } from '../src/client/index.js';
import { registerResolver } from '../src/grpc/index.js';
import { print, startRig, TOKEN } from './rig.js';

const [SECONDS, PER_SECOND, TICK_MS] = [Number(process.env.SECONDS ?? 40), 1000, 10];
const rig = await startRig();
const gateway = await rig.startGateway({});
const client = createClient({ baseURL: gateway.url, apiToken: TOKEN });
const started: ChildProcess[] = [];
const add = () => {
  const child = spawn(process.execPath, ['--import', 'tsx', 'examples/coupon-service.ts'], { env: { ...process.env, ROLLCALL_URL: gateway.url, ROLLCALL_TOKEN: TOKEN }, stdio: ['ignore', 'ignore', 'inherit'] });
  started.push(child);
  return child;
};
const there = async (count: number) => {
  while ((await client.list({ type: 'coupon', status: 'ready' }, { strong: true })).length !== count) await sleep(50);
};
add();
const drained = add();
const killed = add();
await there(3);

registerResolver(client);
const Coupons = makeGenericClientConstructor(coupons, 'Coupons');
const stub = new Coupons('sd:///coupon?port=grpc', credentials.createInsecure(), { 'grpc.service_config': JSON.stringify({ loadBalancingConfig: [{ round_robin: {} }] }) });
type Redeem = (coupon: Coupon, options: { deadline: number }, reply: (error: ServiceError | null, coupon?: Coupon) => void) => void;
const redeem = (stub.redeem as unknown as Redeem).bind(stub);

let phase = 'three';
let killedAt = 0;
const seen: Record<string, { calls: number; failed: number; failedLater: number; by: Set<string> }> = {};
const failures: string[] = [];
let underWay = 0;
function call() {
  const of = (seen[phase] ??= { calls: 0, failed: 0, failedLater: 0, by: new Set() });
  const sentAt = performance.now();
  of.calls++;
  underWay++;
  redeem({ code: 'X' }, { deadline: Date.now() + 5000 }, (error, coupon) => {
    underWay--;
    if (!error) return void of.by.add(coupon?.by ?? '');
    of.failed++;
    // Under way when it died: sent before that, and the moment in which the kernel told of it.
    if (killedAt === 0 || sentAt > killedAt + 50) of.failedLater++;
    failures.push(`${phase} ${status[error.code]} ${error.details}`.slice(0, 120));
  });
}
const sent = performance.now();
let calls = 0;
const load = setInterval(() => {
  for (const due = ((performance.now() - sent) / 1000) * PER_SECOND; calls < due; calls++) call();
}, TICK_MS);

const part = (SECONDS / 4) * 1000;
await sleep(part);
phase = 'one more';
add();
await there(4);
await sleep(part);
phase = 'one drains';
drained.kill('SIGTERM');
await sleep(part);
phase = 'one is killed';
killedAt = performance.now();
killed.kill('SIGKILL');
await sleep(part);
clearInterval(load);
while (underWay > 0) await sleep(20);
for (const [name, { calls: count, failed, failedLater, by }] of Object.entries(seen)) print(`${name}: ${count} calls, ${failed} failed, of which not under way at the death ${failedLater}; ${by.size} backends answered`);
for (const text of [...new Set(failures)].slice(0, 5)) print(text);
const bad = Object.entries(seen).some(([name, { failed, failedLater }]) => (name === 'one is killed' ? failedLater : failed) > 0);
print(bad ? 'FAIL' : 'PASS');
stub.close();
await client.close();
for (const child of started) child.kill('SIGKILL');
await rig.close();
process.exit(bad ? 1 : 0);
