import type { Mutant } from './mutant.js';

export const registry: Mutant[] = [
  {
    name: 'beat-leaves-suspect',
    guard: 'a heartbeat clears the mark',
    find: '} else if (member.lapsed || Boolean(member.suspect) !== ended) this.#show(member, ended); // or a heartbeat after the end of the lease',
    replace: '} else if (member.lapsed || (ended && !member.suspect)) this.#show(member, ended || Boolean(member.suspect)); // or a heartbeat after the end of the lease',
    test: 'test/holds/hold.test.ts',
  },
  {
    name: 'bookmark-too-early',
    guard: 'a bookmark is sent only to who has everything before it',
    find: 'if (!this.current) return false;',
    replace: '',
    test: 'test/registry/topic.test.ts test/watch',
  },
  {
    name: 'grace-only-in-the-sweep',
    guard: 'grace holds in the view too',
    find: `this.#graceFromMs = graceFromMs;
    this.#lullFromMs = lullFromMs;
    this.departed = new Departed(offlineMs);`,
    replace: `this.#graceFromMs = 0 * graceFromMs;
    this.#lullFromMs = lullFromMs;
    this.departed = new Departed(offlineMs);`,
    also: [
      { find: `#replan(graceFromMs: number, clockSetBack: boolean) {
    this.#graceFromMs = graceFromMs;`, replace: `#replan(graceFromMs: number, clockSetBack: boolean) {
    this.#graceFromMs = 0 * graceFromMs;` },
    ],
    test: 'test/redis/leases.test.ts test/registry/table.test.ts',
  },
  {
    name: 'hold-forgotten-in-a-loss',
    guard: 'suspects stay listed when Redis is emptied during a hold',
    find: 'this.position = position;',
    replace: `this.position = position;
    for (const group of this.groups) if (group.hold) this.#release(group);`,
    test: 'test/recovery/watermark.test.ts',
  },
  {
    name: 'load-takes-a-change-twice',
    guard: 'a record that holds a change already does not take it again',
    find: 'if (kind === undefined || (known && compareIds(change.id, known.changedBy) <= 0)) return;',
    replace: 'if (kind === undefined || (known && compareIds(change.id, known.changedBy) < -Infinity)) return;',
    test: 'test/registry/table.test.ts',
  },
  {
    name: 'loaded-word-has-no-order',
    guard: 'a replica that loads between two words has the later',
    find: 'if (of !== undefined && member?.changedBy === id) member.of = of;',
    replace: 'void of;',
    test: 'test/recovery/outage.test.ts',
  },
  {
    name: 'lost-hold-never-ends',
    guard: 'a hold that was lost with Redis ends',
    find: 'for (const home of this.groups.heldUntil(watermarkMs - FORGOTTEN_MS)) this.#release(home);',
    replace: 'for (const home of this.groups.heldUntil(watermarkMs - 1e9 * FORGOTTEN_MS)) this.#release(home);',
    test: 'test/recovery/watermark.test.ts',
  },
  {
    name: 'moved-untold',
    guard: 'who watches the old home is told that an instance left it',
    find: 'return this.includes(record) || (from !== undefined && !isDeparture({ kind }) && this.includes(from));',
    replace: 'return this.includes(record) || (from !== undefined && isDeparture({ kind }) && this.includes(from));',
    test: 'test/watch/watch.test.ts',
  },
  {
    name: 'poll-sleeps-through-lapse',
    guard: 'a lapse wakes long polls',
    find: `group.lapsed.add(member);
    this.#changed(group, member.record);`,
    replace: `group.lapsed.add(member);
    group.version = ++this.version;`,
    test: 'test/http/long-poll.test.ts',
  },
  {
    name: 'poll-looks-for-any-change',
    guard: 'a poll is looked at only for a change that concerns its query',
    find: 'for (const poll of this.#walked) if (!each || records.some(poll.isAbout as (record: LogRecord) => boolean)) this.#due.add(poll);',
    replace: 'for (const poll of this.#walked) if (!each || records.length > 0) this.#due.add(poll);',
    test: 'test/registry/polls.test.ts',
  },
  {
    name: 'poll-forgets-when-away',
    guard: 'a poll that could not be looked at is looked at again',
    find: 'const again = () => void (poll.waiters.size > 0 && this.#due.add(poll));',
    replace: 'const again = () => undefined;',
    test: 'test/registry/polls.test.ts',
  },
  {
    name: 'walk-in-one-turn',
    guard: 'a turn looks at a bounded number of instances, however many queries are asked',
    find: 'this.#left -= work.step(this.#left);',
    replace: 'work.step(Infinity);',
    test: 'test/registry/walk.test.ts',
  },
  {
    name: 'walk-not-looked-again',
    guard: 'what changes during a walk is in its answer as it stands at the end',
    find: 'for (const touched of this.walks) touched.add(record.instanceId);',
    replace: '',
    test: 'test/registry/walk.test.ts',
  },
  {
    name: 'page-without-bytes',
    guard: 'a page is bounded in bytes',
    find: 'if (this.#page.length === this.query.limit || (this.#page.length > 0 && this.#bytes + weight > PAGE_BYTES)) {',
    replace: 'if (this.#page.length === this.query.limit) {',
    test: 'test/registry/walk.test.ts',
  },
  {
    name: 'answers-kept-for-ever',
    guard: 'answers that nobody asks for again are dropped',
    find: 'for (const [key, { encodedAt }] of this.#kept) if (!isRecent(true, encodedAt, now)) this.#kept.delete(key);',
    replace: 'void now;',
    test: 'test/registry/walk.test.ts',
  },
  {
    name: 'rebase-keeps-places',
    guard: 'after a loss the entries of the new log are not taken for old ones',
    find: 'for (const member of this.members.values()) if (compareIds(member.changedBy, position.id) > 0) member.changedBy = position.id;',
    replace: 'for (const member of this.members.values()) if (compareIds(member.changedBy, position.id) > 0) member.changedBy = `9${member.changedBy}`;',
    test: 'test/recovery/lost-tail.test.ts test/recovery/watchers.test.ts',
  },
  {
    name: 'rebase-without-order',
    guard: 'an earlier word of another replica does not take this one back',
    find: 'if (known && of !== undefined && compareIds(of, known.of) < 0) return void (change.known = true);',
    replace: '',
    test: 'test/recovery/watchers.test.ts test/recovery/lost-tail.test.ts',
  },
  {
    name: 'recovery-resets',
    guard: 'watchers are not reset by a recovery',
    find: 'this.hub.remindAll();',
    replace: `this.hub.restart('recovered');`,
    test: 'test/recovery/watchers.test.ts',
  },
  {
    name: 'recovery-without-bookmark',
    guard: 'watchers get a position of the new epoch',
    find: 'this.hub.remindAll();',
    replace: '',
    test: 'test/recovery/watchers.test.ts',
  },
  {
    name: 'reset-instead-of-waiting',
    guard: 'a position ahead of this replica is waited for',
    find: 'await reach(begun, { epoch, id: at });',
    replace: `if (at === 'never') await reach(begun, { epoch, id: at });`,
    test: 'test/watch/resume.test.ts test/guarantees/watch.test.ts',
  },
  {
    name: 'restored-is-told',
    guard: 'watchers are told only what they do not know',
    find: 'if (kind === undefined || known) return false;',
    replace: `if (kind === undefined || (known && record.instanceId === '')) return false;`,
    test: 'test/recovery/watchers.test.ts',
  },
  {
    name: 'resume-without-position',
    guard: 'a watcher goes on from its position',
    find: 'if (from === undefined) return join(begun, (joined) => view.hub.snapshot(joined));',
    replace: `if (from !== '') return join(begun, (joined) => view.hub.snapshot(joined));`,
    test: 'test/watch/resume.test.ts',
  },
  {
    name: 'slow-reader-kept',
    guard: 'a reader that is too slow is ended',
    find: `if (!missed) return this.end('slow');`,
    replace: 'if (!missed) return;',
    also: [
      { find: 'if (!this.#choked) return;', replace: 'if (this.#choked || !this.#choked) return;' },
    ],
    test: 'test/watch/slow-readers.test.ts',
  },
  {
    name: 'snapshot-too-early',
    guard: 'nothing in a snapshot is told again after it',
    find: 'this.#cursor = start.cursor;',
    replace: 'this.#cursor = Math.max(0, start.cursor - 1);',
    test: 'test/watch/watch.test.ts',
  },
  {
    name: 'move-untold-after-a-loss',
    guard: 'who watches the old home is told of a move that the store does not know of',
    find: 'change.from ??= { type: known.type, group: known.group };',
    replace: '',
    test: 'test/registry/table.test.ts',
  },
  {
    name: 'stale-unsaid',
    guard: 'an answer of a silent Redis says that it is stale',
    find: 'return this.#doubted || ms > STALE_AFTER_MS ? ms : undefined;',
    replace: 'return ms > 1e9 * STALE_AFTER_MS ? ms : undefined;',
    test: 'test/http/freshness.test.ts test/http/readyz-stale.test.ts test/http/store-away.test.ts',
  },
  {
    name: 'suspect-not-in-tag',
    guard: 'that an instance is suspect is content',
    find: 'export const tagOf = ({ record, suspect }: Member) => (suspect ? contentTag(`suspect ${record.head}`) : record.tag);',
    replace: `export const tagOf = ({ record, suspect }: Member) => (suspect && record.head === '' ? contentTag('') : record.tag);`,
    test: 'test/holds/hold.test.ts',
  },
  {
    name: 'suspect-unmarked',
    guard: 'who is listed past its end is marked',
    find: `const marked = suspect ? ',"suspect":true' : '';`,
    replace: `const marked = suspect ? '' : '';`,
    test: 'test/holds/hold.test.ts',
  },
  {
    name: 'tag-with-heartbeats',
    guard: 'heartbeats do not change the tag',
    find: 'tag: contentTag(content),',
    replace: 'tag: contentTag(content + lastHeartbeat),',
    also: [
      { find: 'const { group, record } = member;', replace: `const { group, record } = member;
    if (member.scoreMs !== scoreMs) this.#changed(group), group.tags.add({ hi: 0, lo: 1 });` },
    ],
    test: 'test/http/conditional.test.ts',
  },
  {
    name: 'tag-without-lapse',
    guard: 'the tag changes at a lapse',
    find: 'this.tags.remove(tagOf(member));',
    replace: 'if (!member.lapsed && member.expiresAtMs > Date.now()) this.tags.remove(tagOf(member));',
    test: 'test/http/conditional.test.ts test/registry/table.test.ts',
  },
  {
    name: 'unlapse-unseen',
    guard: 'a heartbeat after the end brings back who was not told yet',
    find: '} else if (member.lapsed || Boolean(member.suspect) !== ended) this.#show(member, ended); // or a heartbeat after the end of the lease',
    replace: '} else if ((member.lapsed && this.watermarkMs === 0) || (!member.lapsed && Boolean(member.suspect) !== ended)) this.#show(member, ended); // or a heartbeat after the end of the lease',
    test: 'test/http/long-poll.test.ts test/registry/table.test.ts',
  },
  {
    name: 'cut-from-the-batch',
    guard: 'a performance that is kept does not keep the text of its batch',
    find: 'if (performance !== member.performance) member.performance = flat(performance);',
    replace: 'member.performance = performance;',
    also: [{ find: `import { flat } from './text.js';
`, replace: '' }],
    test: 'test/registry/table.test.ts',
  },
];
