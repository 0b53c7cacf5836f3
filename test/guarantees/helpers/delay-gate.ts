import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

export interface Chunk {
  /** The connection's role, as it names itself to Redis: `commands`, `reader`, `jobs`; '' before it has. */
  role: string;
  to: 'redis' | 'replica';
  bytes: Buffer;
}

export interface DelayGate {
  port: number;
  /** How many ms each chunk is held from now on. Order is kept: none overtakes the one before it. */
  delay: (rule: (chunk: Chunk) => number) => void;
  close: () => Promise<void>;
}

/** One direction of one connection. */
class Pipe {
  readonly #held: { due: number; bytes: Buffer }[] = [];
  #timer: NodeJS.Timeout | undefined;
  #lastDue = 0;
  #ending = false;

  constructor(private readonly to: Socket) {}

  push(bytes: Buffer, delayMs: number) {
    if (this.#held.length === 0 && delayMs <= 0) return void this.to.write(bytes);
    this.#lastDue = Math.max(this.#lastDue, performance.now() + delayMs);
    this.#held.push({ due: this.#lastDue, bytes });
    this.#arm();
  }

  /** What was sent before the end still arrives, as it does from a process that was killed. */
  end() {
    this.#ending = true;
    if (this.#held.length === 0) this.to.destroySoon();
  }

  stop() {
    clearTimeout(this.#timer);
  }

  #arm() {
    const [first] = this.#held;
    this.#timer ??= first && setTimeout(() => this.#release(), Math.max(0, first.due - performance.now()));
  }

  #release() {
    this.#timer = undefined;
    while (this.#held[0] && this.#held[0].due <= performance.now()) this.to.write((this.#held.shift() as { bytes: Buffer }).bytes);
    if (this.#ending && this.#held.length === 0) this.to.destroySoon();
    else this.#arm();
  }
}

/** A replica's way to Redis that can be slow: in one direction, for one kind of connection, or for all. */
export async function openDelayGate(redisPort: number): Promise<DelayGate> {
  const sockets = new Set<Socket>();
  const pipes = new Set<Pipe>();
  let rule: (chunk: Chunk) => number = () => 0;

  const server = createServer({ noDelay: true }, (near) => {
    const far = connect({ host: '127.0.0.1', port: redisPort, noDelay: true });
    const [there, back] = [new Pipe(far), new Pipe(near)];
    let role = '';
    near.on('data', (bytes) => {
      role ||= /rollcall-(\w+)/.exec(bytes.toString('latin1'))?.[1] ?? '';
      there.push(bytes, rule({ role, to: 'redis', bytes }));
    });
    far.on('data', (bytes) => back.push(bytes, rule({ role, to: 'replica', bytes })));
    near.on('close', () => there.end());
    far.on('close', () => back.end());
    for (const pipe of [there, back]) pipes.add(pipe);
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));

  return {
    port: (server.address() as AddressInfo).port,
    delay: (next) => {
      rule = next;
    },
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const pipe of pipes) pipe.stop();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
