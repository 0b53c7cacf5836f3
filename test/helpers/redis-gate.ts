import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

export interface RedisGate {
  port: number;
  /** Breaks every connection and lets none in, until `mend`. */
  cut: () => void;
  /** Goes dark: what the replica says is lost, and nobody tells it so, until `cut` or `mend`. */
  halt: () => void;
  mend: () => void;
  /** What Redis says arrives this much later. */
  slow: (ms: number) => void;
  arm: (trap: Trap) => void;
  close: () => Promise<void>;
}

/**
 * Holds back the first message of any armed gate that says `text`, and what follows it, until `release` is called; `release`
 * resolves when Redis has answered.
 */
export class Trap {
  sprung = false;

  constructor(
    readonly text: string,
    readonly onCatch: (gate: RedisGate, release: () => Promise<void>) => void,
  ) {}
}

/** A way from one replica to Redis that a test can close, or stop at a chosen word: so a replica is halted in the middle of its work. */
export async function openGate(redisPort: number, port = 0): Promise<RedisGate> {
  const sockets = new Set<Socket>();
  let open = true;
  let dark = false;
  let delayMs = 0;
  let trap: Trap | undefined;

  const server = createServer((near) => {
    if (!open) return void near.resetAndDestroy();
    const far = connect({ host: '127.0.0.1', port: redisPort });
    let held: Buffer[] | undefined;
    near.on('data', (chunk) => {
      if (dark) return;
      if (held) return void held.push(chunk);
      if (!trap || trap.sprung || !chunk.includes(trap.text)) return void far.write(chunk);
      trap.sprung = true;
      held = [chunk];
      trap.onCatch(gate, () => {
        const answered = new Promise<void>((resolve) => far.once('data', () => resolve()));
        far.write(Buffer.concat(held ?? []));
        held = undefined;
        return answered;
      });
    });
    far.on('data', (chunk) => void (delayMs > 0 ? setTimeout(() => near.write(chunk), delayMs) : near.write(chunk)));
    near.on('close', () => held ?? far.destroy()); // what was sent before may still arrive
    far.on('error', () => near.resetAndDestroy()).on('close', () => near.destroy()); // a refusal stays one
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
    }
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const breakAll = () => sockets.forEach((socket) => socket.destroy());

  const gate: RedisGate = {
    port: (server.address() as AddressInfo).port,
    cut: () => {
      open = false;
      breakAll();
    },
    halt: () => {
      dark = true;
    },
    mend: () => {
      dark = false;
      open = true;
    },
    slow: (ms) => {
      delayMs = ms;
    },
    arm: (set) => {
      trap = set;
    },
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      breakAll();
      await closed;
    },
  };
  return gate;
}
