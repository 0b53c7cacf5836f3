import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { expect, onTestFinished, test, vi } from 'vitest';
import { Admission, installAdmission } from '../../src/http/requests/admission.js';

/** A handler whose requests take 1 ms each, on a clock that only they move. */
function busyHandler() {
  let now = 1000;
  const clock = vi.spyOn(performance, 'now').mockImplementation(() => now);
  onTestFinished(() => clock.mockRestore());
  const admission = new Admission();
  const begun: number[] = [];
  const handle = admission.before((request) => {
    begun.push(request as unknown as number);
    now += 1;
  });
  return { admission, begun, ask: (n: number) => handle(n as unknown as IncomingMessage, undefined as unknown as ServerResponse) };
}
const nextTurn = () => new Promise<void>((resolve) => setImmediate(resolve));
const numbers = (count: number) => Array.from({ length: count }, (_, i) => i);

test('of what comes in one turn as much begins as has time in it, and the rest in the next ones, in order', async () => {
  const { begun, ask } = busyHandler();
  for (const n of numbers(200)) ask(n);
  expect(begun.length).toBeLessThanOrEqual(32 + 10);
  for (let before = begun.length; before < 200; before = begun.length) {
    await nextTurn();
    expect(begun.length).toBeGreaterThan(before);
    expect(begun.length - before).toBeLessThanOrEqual(10);
  }
  expect(begun).toEqual(numbers(200));
});

test('what comes while others wait goes behind them', async () => {
  const { begun, ask } = busyHandler();
  for (const n of numbers(100)) ask(n);
  await nextTurn();
  ask(100);
  expect(begun).not.toContain(100);
  while (begun.length < 101) await nextTurn();
  expect(begun).toEqual(numbers(101));
});

test('how long requests have waited is known, so that a replica with too many sheds load', async () => {
  const { admission, begun, ask } = busyHandler();
  for (const n of numbers(300)) ask(n);
  let longest = 0;
  while (begun.length < 300) {
    await nextTurn();
    longest = Math.max(longest, admission.lateMs);
  }
  expect(longest).toBeGreaterThan(200);
  expect(admission.lateMs).toBe(0);
});

test('a few requests a turn begin at once, turn after turn', async () => {
  const { begun, ask } = busyHandler();
  for (const round of numbers(50)) {
    for (const n of numbers(10)) ask(10 * round + n);
    expect(begun).toHaveLength(10 * round + 10);
    await nextTurn();
  }
});

test('a server keeps its one handler, behind the admission', () => {
  const server = createServer({ connectionsCheckingInterval: 1e6 }, () => undefined);
  const [before] = server.listeners('request');
  installAdmission(server);
  expect(server.listeners('request')).toHaveLength(1);
  expect(server.listeners('request')[0]).not.toBe(before);
  server.close();
});
