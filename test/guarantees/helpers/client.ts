import { TOKEN } from '../../helpers/gateway.js';
import { KeepAliveClient } from '../../helpers/keep-alive.js';

export { NoAnswer, type Call, type Reply } from '../../helpers/keep-alive.js';

/** One caller of a gateway under test. */
export class Client extends KeepAliveClient {
  constructor() {
    super(TOKEN, 3000);
  }
}

export const pick = <T>(items: readonly T[]): T => items[Math.floor(Math.random() * items.length)] as T;
