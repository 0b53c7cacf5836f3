// A game server that registers itself, and looks for a chat server. Run it beside a gateway:
//   ROLLCALL_URL=http://127.0.0.1:3000 ROLLCALL_TOKEN=$(cat .rollcall/token) npx tsx examples/game-server.ts
import { createServer } from 'node:net';
import { catalog, createClient, join } from 'rollcall';
import { pino } from 'pino';

const log = pino();
const client = createClient({ log }); // ROLLCALL_URL and ROLLCALL_TOKEN
let players = 0;

const game = createServer((player) => {
  players++;
  player.on('close', () => players--).on('error', () => undefined);
  const chat = chats.pick({ key: player.remoteAddress ?? '' });
  player.end(chat ? `chat with ${chat.instanceId} at ${chat.privateIp ?? chat.hostname}\n` : 'nobody to chat with\n');
});
await new Promise<void>((resolve) => game.listen(0, '127.0.0.1', resolve));
const { port } = game.address() as { port: number };

const chats = catalog({ type: 'chat', group: 'kr-1', strategy: 'hash' }, client);
const me = join(
  {
    type: 'game',
    group: 'kr-1',
    ports: [{ name: 'game', port }],
    status: 'initializing',
    performance: () => ({ players }),
    leaveOnSignals: { drainMs: 1000 }, // others stop choosing it before it goes
  },
  client,
);
me.on('lost', ({ reason }) => log.warn({ reason }, 'players may not find this server'));

await chats.ready;
me.updateStatus('ready');
