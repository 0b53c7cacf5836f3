/** A place in the log of changes. `epoch` names one unbroken life of the data, `id` is `<ms>-<seq>`; '' is before the first entry. */
export interface Position {
  epoch: string;
  id: string;
}

/** Each half as Redis writes it, and within what it holds: 64 bits. */
const FORM = /^([A-Za-z0-9]+)\.((?:0|[1-9]\d{0,15})-(?:0|[1-9]\d{0,18}))$/;

export const revisionOf = ({ epoch, id }: Position) => `${epoch}.${id || '0-0'}`;

/** The position that a revision names, or undefined for what is none. */
export function parseRevision(revision: string): Position | undefined {
  const [, epoch, id] = FORM.exec(revision) ?? [];
  return epoch === undefined || id === undefined ? undefined : { epoch, id: id === '0-0' ? '' : id };
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
