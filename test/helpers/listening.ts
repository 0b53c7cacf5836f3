import { createServer, type AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';

/** A loopback port that accepts connections until the test is over, and counts them. */
export async function listening(): Promise<{ port: number; accepted: () => number }> {
  let accepted = 0;
  const server = createServer((socket) => {
    accepted++;
    socket.on('error', () => undefined).destroy();
  });
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  onTestFinished(() => new Promise<void>((resolve) => server.close(() => resolve())));
  return { port: (server.address() as AddressInfo).port, accepted: () => accepted };
}
