// Everybody else, in a process of its own so that the attacker's work does not count: GET /livez every 5 ms, and 50 heartbeats a second,
// until told to stop. Arguments: port, token. Then reports the slowest answers and what was refused.
import { Agent, request } from 'node:http';

const [port, token] = process.argv.slice(2);
const agent = new Agent({ keepAlive: true, maxSockets: 200 });
const ask = (method, path) =>
  new Promise((resolve) => {
    const startedAt = performance.now();
    const done = (status) => resolve({ status, ms: performance.now() - startedAt });
    const sent = request({ host: '127.0.0.1', port, method, path, agent, headers: { 'X-API-Token': token } }, (reply) => reply.resume().on('end', () => done(reply.statusCode)));
    sent.setTimeout(20_000, () => sent.destroy());
    sent.on('error', () => done(0)).end();
  });

let seen = { livez: [], beats: [], refused: 0 };
let beating = 0;
async function livez() {
  const into = seen;
  into.livez.push((await ask('GET', '/livez')).ms);
}
async function beat(n) {
  const into = seen;
  const { status, ms } = await ask('POST', `/sd/v1/instances/near-${10_000 + (n % 1000)}/heartbeat`);
  into.beats.push(ms);
  if (status !== 200) into.refused++;
}
let tick = 0;
setInterval(() => {
  void livez();
  if (tick++ % 4 === 0) void beat(beating++);
}, 5);

process.on('message', (message) => {
  if (message === 'begin') seen = { livez: [], beats: [], refused: 0 };
  if (message !== 'tell') return;
  const beats = seen.beats.sort((a, b) => a - b);
  process.send({ livez: Math.max(...seen.livez), beats: beats.length, p99: beats[Math.min(beats.length - 1, Math.floor(beats.length * 0.99))], refused: seen.refused });
});
process.on('disconnect', () => process.exit(0));
