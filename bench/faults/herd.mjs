// A crowd that registers, each through one replica in turn, as the README tells clients to: what is refused is sent again after its
// Retry-After, what is not answered goes to the next replica. Says in the end how that went.
import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

const { urls, token, type, stem, count, perGroup, withinMs, ttlSeconds, endsAt } = JSON.parse(process.argv[2]);
const TRIES = 60;
const agent = new Agent({ keepAlive: true, maxSockets: 200 });
const [took, codes] = [[], {}];
let [done, lost, refused] = [0, 0, 0];

function post(url, body) {
  return new Promise((resolve, reject) => {
    const headers = { 'x-api-token': token, 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
    const sent = request(`${url}/sd/v1/instances`, { agent, method: 'POST', headers, timeout: 20_000 }, (response) => {
      response.resume().on('error', reject);
      response.on('end', () => resolve({ status: response.statusCode, retryAfter: Number(response.headers['retry-after'] ?? 1) }));
    });
    sent.on('error', reject).on('timeout', () => sent.destroy(new Error('timeout')));
    sent.end(body);
  });
}

async function one(n) {
  const ttl = endsAt ? () => Math.max(2, Math.round((endsAt - Date.now()) / 1000)) : () => ttlSeconds;
  for (let turn = n; turn < n + TRIES; turn++) {
    const about = { instanceId: `${stem}-${n}`, incarnation: 'life-1', type, group: `${stem}-${Math.floor(n / perGroup)}`, hostname: `${stem}-${n}.example.com`, ports: [7777] };
    const sentAt = performance.now();
    const reply = await post(urls[turn % urls.length], JSON.stringify({ ...about, ttlSeconds: ttl() })).catch((error) => ({ status: error.code ?? error.message, retryAfter: 0.2 }));
    codes[reply.status] = (codes[reply.status] ?? 0) + 1;
    if (reply.status === 200 || reply.status === 201) {
      took.push(performance.now() - sentAt);
      done++;
      return;
    }
    refused++;
    await sleep(reply.retryAfter * 1000 * (1 + Math.random()));
  }
  lost++;
}

const startedAt = performance.now();
const all = [];
for (let n = 0; n < count; ) {
  const due = Math.min(count, Math.ceil(((performance.now() - startedAt) / withinMs) * count));
  while (n < due) all.push(one(n++));
  await sleep(2);
}
await Promise.all(all);
took.sort((a, b) => a - b);
process.stdout.write(JSON.stringify({ done, lost, refused, allMs: Math.round(performance.now() - startedAt), p99: Math.round(took[Math.floor(took.length * 0.99)] ?? 0), codes }));
agent.destroy();
