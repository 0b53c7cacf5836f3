// A server that registers itself, and whose event loop is busy when it is told to be: `node busy-server.mjs <worker>`, then lines `block <ms>`, `status <text>` or `leave`.
import { createInterface } from 'node:readline';
import { createClient, join } from '../../dist/client/index.js';

const { MODE: mode = 'http', PREFIX: keyPrefix = 'service:' } = process.env;
const client = createClient({ mode, keyPrefix, log: { info: (about, message) => console.log(message), warn: (about, message) => console.log(message) } });
const session = join({ type: 'game', instanceId: 'busy-1', ttlSeconds: 3, worker: process.argv[2] === 'worker' }, client);
session.on('state', ({ state }) => console.log(`state ${state}`));
createInterface({ input: process.stdin }).on('line', (line) => {
  const [verb, text] = line.split(' ');
  if (verb === 'block') {
    for (const until = performance.now() + Number(text); performance.now() < until; );
    console.log('free');
  } else if (verb === 'status') session.updateStatus(text);
  else if (verb === 'leave') void session.leave().then(() => client.close()).then(() => console.log('gone'));
});
