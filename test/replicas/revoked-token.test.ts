import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, inject, onTestFinished, test } from 'vitest';
import { caller, freshPrefix, registration } from '../helpers/gateway.js';
import { startReplica } from '../helpers/replicas.js';
import { openWatch } from '../helpers/sse.js';
import { secretOf } from '../helpers/tokens.js';

/** The file is looked at every second, and each watcher once in 15; and a second for a busy machine. */
const WITHIN_MS = 16_000 + 1000;

/** A tokens file, which is replaced as a whole. */
function tokensFile() {
  const dir = mkdtempSync(join(tmpdir(), 'rollcall-test-tokens-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  const path = join(dir, 'tokens.json');
  const write = (entries: { name: string; verbs: string[]; groups?: string[] }[]) => {
    writeFileSync(`${path}.new`, JSON.stringify(entries.map((entry) => ({ ...entry, token: secretOf(entry.name) }))));
    renameSync(`${path}.new`, path);
  };
  return { path, write };
}

test('a token that is withdrawn or narrowed ends the streams it opened; the others go on', { timeout: 60_000 }, async () => {
  const file = tokensFile();
  const keeper = { name: 'keeper', verbs: ['read', 'write', 'admin'] };
  file.write([keeper, { name: 'withdrawn', verbs: ['read'] }, { name: 'narrowed', verbs: ['read'] }]);
  const env = { REDIS_URL: inject('redisUrl'), REDIS_PREFIX: freshPrefix(), API_TOKENS_FILE: file.path };
  const replica = await startReplica({ env });
  onTestFinished(replica.kill);
  const watchAs = async (name: string) => {
    const watch = openWatch(`${replica.url}/sd/v1/watch`, { headers: { 'x-api-token': secretOf(name) } });
    onTestFinished(() => watch.cut());
    await watch.next(({ event }) => event === 'snapshot');
    return watch;
  };
  const kept = await watchAs('keeper');
  const ended = await Promise.all(['withdrawn', 'narrowed', 'withdrawn'].map(watchAs));

  file.write([keeper, { name: 'narrowed', verbs: ['read'], groups: ['kr-*'] }]);
  const changedAt = performance.now();
  for (const how of await Promise.all(ended.map((watch) => watch.ended))) expect(how).toMatchObject({ by: 'server', clean: true });
  expect(performance.now() - changedAt).toBeLessThan(WITHIN_MS);

  const call = caller(replica.url, secretOf('keeper'));
  await call.post('/instances').send(registration({ instanceId: 'later' })).expect(201);
  expect((await kept.next(({ event }) => event === 'registered')).data).toContain('"later"');
  const { text } = await call.get('//metrics').expect(200);
  expect(text).toMatch(/^rollcall_watchers_ended_total\{reason="revoked"\} 3$/m);
  const back = openWatch(`${replica.url}/sd/v1/watch`, { headers: { 'x-api-token': secretOf('withdrawn') } });
  await back.opened;
  expect(back.status).toBe(401);
});
