import { homeKey, type Home } from '../home.js';
import type { LogRecord } from '../log/record.js';

/** Records noted one by one. More at once are a mass lapse or a load, after which everything has to be looked at anyway. */
export const CHANGES_NOTED = 1000;

/** What became visible, ceased to be, or left, since somebody cleared this. */
export class News {
  /** Where, as `<type>:<group>`. */
  readonly homes = new Set<string>();
  /** Before and after; `CHANGES_NOTED` and one when not all were noted. */
  readonly records: LogRecord[] = [];
  /** Whoever walks through the table is told here which ids changed meanwhile. */
  readonly walks = new Set<Set<string>>();

  changed(home: Home) {
    this.homes.add(homeKey(home));
  }

  touched(record: LogRecord) {
    if (this.records.length <= CHANGES_NOTED) this.records.push(record);
    for (const touched of this.walks) touched.add(record.instanceId);
  }

  clear() {
    this.homes.clear();
    this.records.length = 0;
  }
}
