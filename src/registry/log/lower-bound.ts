/** The first place from `low` on, below `high`, where `isBefore` is no longer true; `high` where it always is. Halves what is left each time. */
export function lowerBound(low: number, high: number, isBefore: (at: number) => boolean): number {
  while (low < high) {
    const middle = (low + high) >> 1;
    if (isBefore(middle)) low = middle + 1;
    else high = middle;
  }
  return low;
}
