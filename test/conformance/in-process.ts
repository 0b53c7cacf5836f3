import type { EventsReply, GroupsReply } from '../../src/contract/index.js';
import { changeJson } from '../../src/registry/log/change.js';
import type { Registry } from '../../src/registry/registry.js';
import { revisionOf } from '../../src/registry/revision.js';
import type { ServedRegistry } from '../../src/registry/served/served-registry.js';
import { Messages } from './frames.js';

/** What a replica serves, read back from its bytes. */
export function inProcess(served: ServedRegistry): Registry {
  return {
    register: (...args) => served.register(...args),
    heartbeat: (beats) => served.heartbeat(beats),
    patch: (...args) => served.patch(...args),
    remove: (...args) => served.remove(...args),
    release: (...args) => served.release(...args),
    find: (...args) => served.find(...args),
    discover: async (query, need) => {
      const { answer, ...rest } = await served.discover(query, need);
      return { ...answer.read(), etag: answer.etag, ...rest };
    },
    groups: async (need) => {
      const { groups, ...certainty } = await served.groups(need);
      return { groups: groups.map(({ json }) => JSON.parse(json) as GroupsReply['groups'][number]), ...certainty };
    },
    history: async (query) => {
      const { epoch, changes, next, gap } = await served.history(query);
      const events = changes.map((change) => JSON.parse(changeJson(change)) as EventsReply['events'][number]);
      return { events, ...(next !== undefined && { next: revisionOf({ epoch, id: next }) }), ...(gap && { gap }) };
    },
    watch: (query, from, signal) => {
      const messages = new Messages();
      const sink = {
        write: (bytes: Buffer) => (messages.push(bytes.toString()), true),
        onDrain: () => undefined,
        get closed() {
          return signal.aborted;
        },
        allowed: true,
        onClose: (gone: () => void) => signal.addEventListener('abort', gone),
        end: () => messages.end(),
        destroy: () => messages.end(),
      };
      signal.addEventListener('abort', () => messages.end());
      void served.watch(query, from, sink);
      return messages;
    },
  };
}
