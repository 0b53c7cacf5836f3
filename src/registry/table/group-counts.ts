import type { GroupCount } from './group.js';
import type { Home } from '../home.js';
import { inScope, type Scope } from '../scope.js';
import type { Sliced, Slices } from './slices.js';
import type { Table } from './table.js';

/** Counting a group and writing that down takes as long as looking at so many instances. */
const LOOKS = 10;

/**
 * Counts every group, a slice at a time. What it found is kept with the groups, so a list of all of them that is made at its end
 * counts only what changed meanwhile, and says what stands at one moment.
 */
export class GroupWalk implements Sliced {
  done = false;
  #behind: Home = { type: '', group: '' };

  constructor(private readonly table: Table) {}

  step(budget: number): number {
    const { groups, watermarkMs } = this.table;
    let looked = 0;
    for (let at = groups.before(this.#behind); looked < budget; at++) {
      const group = groups.at(at);
      if (!group) {
        this.done = true;
        break;
      }
      group.count(watermarkMs);
      looked += LOOKS;
      this.#behind = { type: group.type, group: `${group.group}\0` };
    }
    return looked;
  }
}

/** What stands in each group that has members, in the order of type, then group. */
export class GroupCounts {
  readonly #counting = new Map<string, Promise<GroupCount[]>>();

  constructor(
    private readonly table: () => Table,
    private readonly slices: Slices,
  ) {}

  /** At once, however many there are. */
  list(scope?: Scope): GroupCount[] {
    const { groups, watermarkMs } = this.table();
    return [...groups].filter((group) => group.size > 0 && inScope(scope, group)).map((group) => group.count(watermarkMs));
  }

  /** The same, counted in slices. Whoever asks meanwhile is given the same list: it is what stands when this resolves. */
  ask(scope?: Scope): Promise<GroupCount[]> {
    const key = JSON.stringify(scope ?? null);
    let counting = this.#counting.get(key);
    if (!counting) {
      counting = this.#count(scope).finally(() => this.#counting.delete(key));
      this.#counting.set(key, counting);
    }
    return counting;
  }

  async #count(scope?: Scope): Promise<GroupCount[]> {
    const table = this.table();
    await this.slices.run(new GroupWalk(table));
    return this.table() === table ? this.list(scope) : this.#count(scope); // or another table was loaded meanwhile
  }
}
