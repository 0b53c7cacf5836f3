import type { Instance } from '../../contract/index.js';
import type { ClientLog } from '../base/options.js';

/** At most so often, in ms: a fleet may change all the time. */
const WRITE_EVERY_MS = 1000;

const files = () => import('./files.js');

/** The last good list in a file, written whole or not at all. What cannot be read or written is told once, and does no harm. */
export class Keeping {
  #next: readonly Instance[] | undefined;
  #writing = false;
  #told = false;

  constructor(
    private readonly path: string,
    private readonly log: ClientLog,
  ) {}

  /** Undefined when there is none, or none that can be read. */
  async read(): Promise<Instance[] | undefined> {
    try {
      const { readFile } = await files();
      const list = JSON.parse(await readFile(this.path, 'utf8')) as unknown;
      return Array.isArray(list) ? (list as Instance[]).filter((one) => typeof one?.instanceId === 'string') : undefined;
    } catch (error) {
      if ((error as { code?: string }).code !== 'ENOENT') this.#tell(error);
      return undefined;
    }
  }

  write(instances: readonly Instance[]) {
    this.#next = instances;
    if (!this.#writing) void this.#write();
  }

  async #write() {
    this.#writing = true;
    try {
      const { rename, writeFile } = await files();
      while (this.#next) {
        const text = JSON.stringify(this.#next);
        this.#next = undefined;
        await writeFile(`${this.path}.new`, text, { mode: 0o600 });
        await rename(`${this.path}.new`, this.path);
        await new Promise((resolve) => setTimeout(resolve, WRITE_EVERY_MS));
      }
    } catch (error) {
      this.#tell(error);
    } finally {
      this.#writing = false;
    }
  }

  #tell(err: unknown) {
    if (!this.#told) this.log.warn({ err, file: this.path }, 'the last list cannot be kept in this file');
    this.#told = true;
  }
}
