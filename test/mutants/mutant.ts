/** One exact replacement in `src/` or `lua/`. `find` occurs there once, so a file may move and be renamed freely. */
export interface Edit {
  find: string;
  replace: string;
}

/** A guard taken away: with the edits made, one of the named tests must fail. */
export interface Mutant extends Edit {
  name: string;
  /** What the code no longer keeps. */
  guard: string;
  /** Further edits that taking it away needs. */
  also?: Edit[];
  /** Arguments of vitest, separated by spaces. */
  test: string;
}
