/**
 * Answers sent before the turn is over, so that their readers work on them while the next are made; with one batch for a
 * whole long turn the two sides wait for each other. From 8 to 32 made no difference.
 */
const SENT_AT_ONCE = 16;

interface Batch {
  sent: Promise<void>;
  send: () => void;
  size: number;
}

let open: Batch | undefined;

/**
 * Resolves for several requests together: when 16 wait, or this turn of the event loop ends. Answers from memory that are written one
 * after the other wake their readers once; written each between the reading of two requests, they wake them each time,
 * which costs more than making them (bench/README.md).
 */
export function answerTogether(): Promise<void> {
  open ??= begin();
  const batch = open;
  if (++batch.size === SENT_AT_ONCE) close(batch);
  return batch.sent;
}

function begin(): Batch {
  let send = () => {};
  const sent = new Promise<void>((resolve) => (send = resolve));
  const batch = { sent, send, size: 0 };
  setImmediate(close, batch);
  return batch;
}

function close(batch: Batch) {
  if (open === batch) open = undefined;
  batch.send();
}
