let ending: Promise<void> | undefined;

/**
 * Resolves at the end of this turn of the event loop, for all who ask in it. Whoever answers from memory waits for it: answers
 * written one after the other wake their readers once, those written between the reading of requests wake them each time,
 * which costs more than making them (bench/README.md).
 */
export function endOfTurn(): Promise<void> {
  ending ??= new Promise((resolve) => {
    setImmediate(() => {
      ending = undefined;
      resolve();
    });
  });
  return ending;
}
