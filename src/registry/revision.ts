const FORM = /^([^.]+)\.(\d+)-(\d+)$/;

/** The later of two positions `<epoch>.<ms>-<seq>` of one epoch; of two epochs, the second. */
export function laterRevision(one: string, other: string): string {
  const [, oneEpoch, oneMs, oneSeq] = FORM.exec(one) ?? [];
  const [, otherEpoch, otherMs, otherSeq] = FORM.exec(other) ?? [];
  if (oneEpoch !== otherEpoch) return other;
  const ms = Number(oneMs) - Number(otherMs);
  return ms > 0 || (ms === 0 && Number(oneSeq) > Number(otherSeq)) ? one : other;
}
