// Many watchers in one process, as cheap as they can be: plain sockets that look for a mark in what they are sent.
// Arguments: port, path, token, how many, how many of them never read. Reports to its parent; told 'mark <text>' it says
// when the last reader has seen it, in ms of the machine's monotonic clock.
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const [port, path, token, count, silentCount] = process.argv.slice(2);
const now = () => Number(process.hrtime.bigint()) / 1e6;
const crowd = { opened: 0, closed: 0, bytes: 0, frames: 0, comments: 0 };
let mark = '';
let seen = 0;
let kinds = new Map();

const COMMENT = /^: keep-alive$/gm;
const EVENT = /^event: (\w+)$/gm;

function open(reads) {
  const socket = connect({ host: '127.0.0.1', port: Number(port) });
  socket.write(`GET ${path} HTTP/1.1\r\nHost: bench\r\nX-API-Token: ${token}\r\n\r\n`);
  socket.on('error', () => undefined).on('close', () => crowd.closed++);
  let waiting = true;
  let last = '';
  socket.on('data', (chunk) => {
    const text = chunk.toString();
    if (waiting) {
      waiting = false;
      crowd.opened++;
      if (!reads) socket.pause();
    }
    crowd.bytes += chunk.length;
    crowd.comments += (text.match(COMMENT) ?? []).length;
    for (const [, kind] of text.matchAll(EVENT)) kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
    if (mark && (last + text).includes(mark)) {
      seen++;
      if (seen === Number(count) - Number(silentCount)) process.send({ mark, at: now() });
      last = '';
    } else last = text.slice(-60);
  });
}

for (let i = 0; i < Number(count); i++) {
  open(i >= Number(silentCount));
  if (i % 200 === 199) await sleep(20);
}
while (crowd.opened < Number(count)) await sleep(20);
process.send({ open: crowd.opened });

process.on('message', (message) => {
  if (message.mark) [mark, seen] = [message.mark, 0];
  if (message.count) {
    process.send({ counted: { ...crowd, kinds: Object.fromEntries(kinds) } });
    Object.assign(crowd, { bytes: 0, comments: 0 });
    kinds = new Map();
  }
  if (message.end) process.exit(0);
});
