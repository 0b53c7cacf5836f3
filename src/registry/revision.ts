/** A place in the log of changes. `epoch` names one unbroken life of the data, `id` is `<ms>-<seq>`; '' is before the first entry. */
export interface Position {
  epoch: string;
  id: string;
}

/** What Redis holds in the low part of an id. */
const MAX_SEQ = 2n ** 64n - 1n;
const FORM = /^([A-Za-z0-9]+)\.(\d{1,16}-\d{1,20})$/;

export const revisionOf = ({ epoch, id }: Position) => `${epoch}.${id || '0-0'}`;

/** The position that a revision names, or undefined for what is none. */
export function parseRevision(revision: string): Position | undefined {
  const [, epoch, id] = FORM.exec(revision) ?? [];
  if (epoch === undefined || id === undefined) return undefined;
  const [ms = '', seq = ''] = id.split('-');
  if (BigInt(seq) > MAX_SEQ) return undefined;
  const plain = `${BigInt(ms)}-${BigInt(seq)}`;
  return { epoch, id: plain === '0-0' ? '' : plain };
}

/** Negative when the first entry id is the earlier one. Ids of Redis streams: milliseconds, then a number within them. */
export function compareIds(one: string, other: string): number {
  if (one === other) return 0;
  const [oneMs = '', oneSeq = '0'] = one.split('-');
  const [otherMs = '', otherSeq = '0'] = other.split('-');
  return Number(oneMs) - Number(otherMs) || compareDigits(oneSeq, otherSeq);
}

/** Longer than a double holds exactly: by length, then by letters. */
const compareDigits = (one: string, other: string) => one.length - other.length || (one < other ? -1 : one > other ? 1 : 0);

export const msOfId = (id: string) => Number(id.slice(0, id.indexOf('-')));

/** The later of two revisions of one epoch; of two epochs, the second. */
export function laterRevision(one: string, other: string): string {
  const [first, second] = [parseRevision(one), parseRevision(other)];
  return first && second && first.epoch === second.epoch && compareIds(first.id, second.id) > 0 ? one : other;
}
