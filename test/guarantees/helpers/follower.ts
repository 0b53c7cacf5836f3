import { setTimeout as sleep } from 'node:timers/promises';
import { TOKEN } from '../../helpers/gateway.js';
import { openWatch, type Watch } from '../../helpers/sse.js';
import { WatchLog, type WatchLogOptions } from '../../helpers/watch-log.js';
import { pick } from './client.js';
import type { SlowFleet, SlowMember } from './slow-fleet.js';

export const watchUrl = ({ replica }: SlowMember, { type, group }: { type?: string; group?: string }) => {
  const query = new URLSearchParams({ ...(type !== undefined && { type }), ...(group !== undefined && { group }) }).toString();
  return `${replica.url}/sd/v1/watch?${query}`;
};
export const watchHeaders = { 'x-api-token': TOKEN };

export interface Following extends WatchLogOptions {
  /** It cuts its own connection after so many frames, on average. */
  framesPerCut: number;
}

/** One client that watches, is cut off at any frame, by itself or because its replica dies, and goes on at another replica. */
export class Follower {
  readonly log: WatchLog;
  /** Connections to another replica than before, with a position. */
  resumed = 0;
  /** Answers that were neither a stream nor "not now". */
  readonly refused: string[] = [];
  #last: SlowMember | undefined;
  #watch: Watch | undefined;
  #stopped = false;
  readonly #running: Promise<void>;

  constructor(
    private readonly fleet: SlowFleet,
    private readonly following: Following,
  ) {
    this.log = new WatchLog(following);
    this.#running = this.#run();
  }

  async stop() {
    this.#stopped = true;
    this.#watch?.cut();
    await this.#running;
  }

  async #run() {
    while (!this.#stopped) {
      const member = pick(this.fleet.members.filter((each) => each.up && each !== this.#last)) ?? pick(this.fleet.members);
      await this.#follow(member);
      await sleep(Math.random() < 0.5 ? 5 : Math.random() * 300); // sometimes much is missed
    }
  }

  async #follow(member: SlowMember) {
    let left = Math.ceil(-Math.log(1 - Math.random()) * this.following.framesPerCut);
    const from = this.log.connect();
    const watch = openWatch(watchUrl(member, this.following), {
      headers: watchHeaders,
      lastEventId: from,
      onFrame: (frame) => {
        this.log.accept(frame);
        if (--left <= 0) watch.cut();
      },
    });
    this.#watch = watch;
    const opened = await watch.opened.then(
      () => watch.status === 200,
      () => false,
    );
    if (opened && from !== '' && this.#last !== undefined && this.#last !== member) this.resumed++;
    if (opened) this.#last = member;
    if (this.#stopped) watch.cut();
    await watch.ended;
    if (![0, 200, 503].includes(watch.status)) this.refused.push(`${watch.status} ${watch.body}`);
  }
}
