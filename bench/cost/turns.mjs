// Loaded into a replica with --import: for how long one turn of its event loop was at work, at most, since it was last asked. Counted is time
// on a processor: that others want the machine does not count. A timer of 2 ms comes between two turns, so a figure is at most 2 ms too large.
import { subscribe } from 'node:diagnostics_channel';
import { openSync, readSync } from 'node:fs';

const file = openSync(`/proc/self/task/${process.pid}/schedstat`, 'r');
const bytes = Buffer.alloc(64);
const workedMs = () => Number(bytes.toString('latin1', 0, readSync(file, bytes, 0, bytes.length, 0)).split(' ')[0]) / 1e6;

let before = workedMs();
let longest = 0;
setInterval(() => {
  const now = workedMs();
  longest = Math.max(longest, now - before);
  before = now;
}, 2).unref();

// And what stands before the answer of a heartbeat: how long this process is at work from its arrival on.
const begun = new WeakMap();
let beats = [];
subscribe('http.server.request.start', ({ request }) => request.url.endsWith('/heartbeat') && begun.set(request, workedMs()));
subscribe('http.server.response.finish', ({ request }) => begun.has(request) && beats.push(workedMs() - begun.get(request)));

process.on('message', (message) => {
  if (message !== 'turns') return;
  beats.sort((a, b) => a - b);
  process.send({ longest, beatMs: beats[Math.floor(beats.length * 0.99)] ?? 0, rssMb: process.memoryUsage.rss() / 1024 / 1024 });
  [longest, beats] = [0, []];
});
process.channel?.unref();
