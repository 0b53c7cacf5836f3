import { onTestFinished } from 'vitest';
import type { ServedRegistry } from '../../src/registry/served/served-registry.js';
import { FrameParser, type Frame } from './sse.js';
import { until } from './until.js';

/** What a watcher of everything is sent, as frames. */
export async function watchFrames(registry: ServedRegistry, from?: string) {
  const frames: Frame[] = [];
  const parser = new FrameParser((frame) => frames.push(frame));
  let [closed, gone] = [false, () => undefined as void];
  const sink = {
    write: (bytes: Buffer) => (parser.push(bytes.toString()), true),
    onDrain: () => undefined,
    get closed() {
      return closed;
    },
    onClose: (tell: () => void) => void (gone = tell),
    allowed: true,
    end: () => undefined,
    destroy: () => undefined,
  };
  await registry.watch({}, from, sink);
  if (from === undefined) await until(() => frames.length > 0); // its turn to be served comes
  onTestFinished(() => {
    closed = true;
    gone();
  });
  const told = () => frames.filter(({ event }) => event !== 'bookmark');
  return {
    frames,
    told,
    /** Frames since the last `reset`, it included; waits for the snapshot behind it. */
    sinceReset: () => until(() => {
      const at = told().map(({ event }) => event).lastIndexOf('reset');
      return at >= 0 && told()[at + 1]?.event === 'snapshot' ? told().slice(at) : undefined;
    }),
    kinds: () => frames.map(({ event }) => event),
    lastEventId: () => parser.lastEventId,
    /** Whom a frame is about. */
    about: (kind: string) => frames.filter(({ event }) => event === kind).map((frame) => frame.json<{ instance: { instanceId: string } }>().instance.instanceId),
  };
}
