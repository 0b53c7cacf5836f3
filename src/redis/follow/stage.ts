/**
 * Where a follower of the log stands. `empty`: it has nothing that the log goes on from. `loading`: the whole registry is being read,
 * and the log after it. `following`: the view is the registry's. `restoring`: it is, and Redis lacks some of it.
 */
export type Stage = 'empty' | 'loading' | 'following' | 'restoring';

/**
 * What can happen to it. `begun`: to read the whole registry; `complete`: that was read to its end. `lost`, `restored`: Redis lacks what the view
 * has, and has it again. `unfit`: what was read cannot be gone on from, so everything is read anew.
 */
export type Step = 'begun' | 'complete' | 'lost' | 'restored' | 'unfit';

const NEXT: Record<Stage, Partial<Record<Step, Stage>>> = {
  empty: { begun: 'loading' },
  loading: { complete: 'following', unfit: 'empty' },
  following: { lost: 'restoring', restored: 'following', unfit: 'empty' },
  restoring: { lost: 'restoring', restored: 'following', unfit: 'empty' },
};

/** @throws {Error} for a step that cannot follow: the reader is wrong, not the log. */
export function next(stage: Stage, step: Step): Stage {
  const then = NEXT[stage][step];
  if (!then) throw new Error(`a follower that is ${stage} cannot become ${step}`);
  return then;
}

/** What it has read is what the view answers from. */
export const isAdopted = (stage: Stage) => stage === 'following' || stage === 'restoring';
