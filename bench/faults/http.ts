import { KeepAliveClient } from '../../test/helpers/keep-alive.js';
import { TOKEN } from '../rig.js';

export { NoAnswer, type Call, type Reply } from '../../test/helpers/keep-alive.js';

/** Callers of the gateways under load, by as many sockets at most. */
export class Http extends KeepAliveClient {
  constructor(maxSockets = 200) {
    super(TOKEN, 5000, maxSockets);
  }
}

/** Ids in an answer of discover, without the price of reading the rest. */
export const idsIn = (text: string) => new Set(Array.from(text.matchAll(/"instanceId":"([^"]+)"/g), ([, id]) => id as string));
