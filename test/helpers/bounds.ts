/** `GUARANTEES=full` chooses the numbers of the promise; otherwise they are small enough for every run of the suite. */
const isFull = process.env.GUARANTEES === 'full';

export const bound = (short: number, full: number): number => (isFull ? full : short);

/** The one line that a run leaves behind. */
export function report(name: string, counts: Record<string, number | string>) {
  const said = Object.entries(counts).map(([key, value]) => `${key}=${value}`);
  process.stdout.write(`${name} ${isFull ? 'full' : 'short'}: ${said.join(' ')}\n`);
}
