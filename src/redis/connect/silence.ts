import { Cluster, type Redis } from 'ioredis';

const LOOK_EVERY_MS = 450;
/**
 * Some 2.25 to 2.7 s in all: longer than the longest BLOCK and a slow reply (alarm.ts), and shorter than the time limit of a read
 * (connection.ts), so that nothing more is said on a connection that owes a reply.
 */
const SILENT_LOOKS = 5;

/**
 * Breaks off a connection that owes a reply and is silent for so long: its socket is half-open. It counts looks, not time: in a
 * process that was held up timers run before the sockets are read, and `socketTimeout` of ioredis 6.0.0 then throws away healthy
 * connections whose data has arrived. Between two looks the sockets are read, however long a look was held up.
 */
export function leaveWhenSilent(connection: Redis | Cluster) {
  if (connection instanceof Cluster) connection.on('+node', watch);
  else watch(connection);
}

function watch(redis: Redis) {
  redis.on('connect', () => {
    const { stream } = redis;
    let [read, looks] = [stream.bytesRead, 0];
    const timer = setInterval(() => {
      const heard = stream.bytesRead !== read || redis.commandQueue.length === 0;
      read = stream.bytesRead;
      looks = heard ? 0 : looks + 1;
      if (looks >= SILENT_LOOKS) stream.destroy(Object.assign(new Error('no reply for 2 s and more'), { code: 'SILENT' }));
    }, LOOK_EVERY_MS).unref();
    stream.once('close', () => clearInterval(timer));
  });
}
