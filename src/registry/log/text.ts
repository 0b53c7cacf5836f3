/** Shorter texts are copied by the engine anyway when a longer one is cut. */
const CUT_LETTERS = 13;
/** Names that are shared; with more than these it begins again. */
const MAX_NAMES = 10_000;

/**
 * A copy that stands for itself. What is cut out of a longer text, or put together of several, keeps all of those in memory for as
 * long as it is kept: one beat the text of a whole batch.
 */
export const flat = (text: string) => (text.length < CUT_LETTERS ? text : Buffer.from(text).toString());

const names = new Map<string, string>();

/** The one copy of a name that thousands of records bear: a type, a group, a cause. */
export function interned(name: string): string {
  const known = names.get(name);
  if (known !== undefined) return known;
  if (names.size >= MAX_NAMES) names.clear();
  const own = flat(name);
  names.set(own, own);
  return own;
}
