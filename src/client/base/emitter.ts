/** Listeners by event. One that throws does not keep the others from hearing it. */
export class Emitter<Events extends Record<string, unknown>> {
  readonly #listeners = new Map<keyof Events, Set<(about: never) => void>>();

  /** Returns what ends the listening. */
  on<Name extends keyof Events>(name: Name, listener: (about: Events[Name]) => void): () => void {
    const all = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, all.add(listener));
    return () => void all.delete(listener);
  }

  protected emit<Name extends keyof Events>(name: Name, about: Events[Name]) {
    for (const listener of this.#listeners.get(name) ?? []) {
      try {
        (listener as (about: Events[Name]) => void)(about);
      } catch (error) {
        queueMicrotask(() => {
          throw error; // as an error of the program's own, and not lost
        });
      }
    }
  }
}
