import type { FastifyInstance } from 'fastify';
import type { Config } from './config.js';

const PORTS_TO_TRY = 20;
const ASK_WITHIN_MS = 1000;

/** Listens; the embedded mode takes the next free port when the default is taken. @throws {Error} one line that says what to do. */
export async function listen(app: FastifyInstance, { host, port, portFixed }: Pick<Config, 'host' | 'port' | 'portFixed'>): Promise<string> {
  for (let tried = port; ; tried++) {
    try {
      return await app.listen({ host, port: tried });
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EADDRINUSE' && !portFixed && tried < port + PORTS_TO_TRY) {
        const other = (await isRollcall(host, tried)) ? 'another Rollcall runs there, and this one is a registry of its own that knows nothing of it' : 'port is taken';
        app.log.warn({ port: tried }, `port ${tried}: ${other}; trying ${tried + 1}`);
        continue;
      }
      if (code === 'EADDRINUSE') throw new Error(`port ${tried} of ${host} is in use: stop what listens there, or set PORT`, { cause: error });
      if (code === 'EACCES' || code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') throw new Error(`cannot listen on ${host}:${tried} (${code}): set HOST and PORT`, { cause: error });
      throw error;
    }
  }
}

/** Whether what listens there is a gateway like this one. */
async function isRollcall(host: string, port: number): Promise<boolean> {
  try {
    const answer = await fetch(`http://${host}:${port}/livez`, { signal: AbortSignal.timeout(ASK_WITHIN_MS) });
    return ((await answer.json()) as { name?: string }).name === 'rollcall';
  } catch {
    return false;
  }
}
