import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

export interface Way {
  port: number;
  /** Breaks every connection and lets none in. */
  cut: () => void;
  /** A black hole: what either side says is lost, new connections are taken, and nobody is told. */
  darken: () => void;
  /** Each reply arrives so many ms late. */
  delay: (ms: number) => void;
  /** What Redis answers is lost, and the connection with it: it was applied, and nobody was told. */
  swallow: () => void;
  /** As if nothing had been. Connections that lost something are broken: the rest would be read wrongly. */
  mend: () => void;
  close: () => Promise<void>;
}

type State = 'open' | 'cut' | 'dark' | 'swallowing';

/** One replica's only way to Redis, to be troubled in every way a network can. */
export async function openWay(redisPort: number): Promise<Way> {
  const sockets = new Set<Socket>();
  const spoilt = new Set<Socket>();
  let state: State = 'open';
  let delayMs = 0;

  const server = createServer((near) => {
    if (state === 'cut') return void near.resetAndDestroy();
    const far = connect({ host: '127.0.0.1', port: redisPort });
    const late: { chunk: Buffer; due: number }[] = []; // one queue: two timers may ring in any order
    const deliver = () => {
      while (late[0] && late[0].due <= Date.now()) near.write((late.shift() as { chunk: Buffer }).chunk);
      if (late[0]) setTimeout(deliver, late[0].due - Date.now());
    };
    near.on('data', (chunk) => {
      if (state === 'dark') spoilt.add(near);
      else if (!spoilt.has(near)) far.write(chunk);
    });
    far.on('data', (chunk) => {
      if (state === 'dark') spoilt.add(near);
      if (state === 'swallowing') near.destroy();
      if (spoilt.has(near) || state === 'swallowing') return;
      if (delayMs === 0 && late.length === 0) return void near.write(chunk);
      late.push({ chunk, due: Date.now() + delayMs });
      if (late.length === 1) setTimeout(deliver, delayMs);
    });
    near.on('close', () => setTimeout(() => far.destroy(), 50)); // what was said before still arrives
    far.on('error', () => near.resetAndDestroy()).on('close', () => near.destroy()); // a refusal stays one
    for (const socket of [near, far]) {
      socket.setNoDelay(true);
      sockets.add(socket);
      socket.on('error', () => undefined).on('close', () => sockets.delete(socket) && spoilt.delete(socket));
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const breakAll = (all: Set<Socket>) => [...all].forEach((socket) => socket.destroy());
  const become = (next: State) => (state = next);

  return {
    port: (server.address() as AddressInfo).port,
    cut: () => {
      become('cut');
      breakAll(sockets);
    },
    darken: () => void become('dark'),
    delay: (ms) => void (delayMs = ms),
    swallow: () => void become('swallowing'),
    mend: () => {
      delayMs = 0;
      become('open');
      breakAll(spoilt);
    },
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      become('cut');
      breakAll(sockets);
      await closed;
    },
  };
}
