import { createParser, type EventSourceMessage } from 'eventsource-parser';

/** The gateway says something every 15 s; who hears nothing for so long is connected to nobody. */
const SILENT_MS = 45_000;

/**
 * The messages of a stream of server-sent events, until it ends, or `signal` aborts (https://html.spec.whatwg.org/multipage/server-sent-events.html).
 * @throws {Error} when nothing came for 45 s, or the line broke.
 */
export async function* eventsOf(body: ReadableStream<Uint8Array>, signal: AbortSignal, silentMs = SILENT_MS): AsyncGenerator<EventSourceMessage> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  const ready: EventSourceMessage[] = [];
  const parser = createParser({ onEvent: (event) => void ready.push(event) });
  const end = () => void reader.cancel().catch(() => undefined); // a read that waits is done then
  signal.addEventListener('abort', end, { once: true });
  try {
    if (signal.aborted) return;
    for (;;) {
      const { done, value } = await within(reader.read(), silentMs);
      if (done) return;
      parser.feed(decoder.decode(value, { stream: true }));
      yield* ready.splice(0);
    }
  } finally {
    signal.removeEventListener('abort', end);
    end();
  }
}

function within<T>(answer: Promise<T>, ms: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`nothing came for ${ms / 1000} s`)), ms);
    answer.then(resolve, reject).finally(() => clearTimeout(late));
  });
}
