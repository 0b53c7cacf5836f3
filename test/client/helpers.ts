import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';
import { createClient, type ClientOptions } from '../../src/client/index.js';
import { buildGateway, TOKEN, type GatewaySetup } from '../helpers/gateway.js';

export const clientOf = (options: ClientOptions) => {
  const client = createClient({ apiToken: TOKEN, ...options });
  onTestFinished(() => client.close());
  return client;
};

export const addressOf = (app: Awaited<ReturnType<typeof buildGateway>>['app']) => `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`;

/** A gateway in this process, and a client of it. */
export async function openClient(setup: GatewaySetup = {}, options: ClientOptions = {}) {
  const gateway = await buildGateway({ fromMemory: true, ...setup });
  const baseURL = addressOf(gateway.app);
  return { ...gateway, baseURL, client: clientOf({ baseURL, ...options }) };
}

/** A log that keeps its lines. */
export function keptLog() {
  const lines: string[] = [];
  const log = (_about: object, message: string) => void lines.push(message);
  return { lines, log: { info: log, warn: log } };
}
