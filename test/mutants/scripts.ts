import type { Mutant } from './mutant.js';

export const scripts: Mutant[] = [
  {
    name: 'claim-keeps-freshest',
    guard: 'what was claimed for one loss does not count for the next',
    find: `redis.call('HDEL', EPOCH, 'freshest')`,
    replace: '',
    test: 'test/recovery/claim-script.test.ts',
  },
  {
    name: 'claim-not-compared',
    guard: 'an epoch is founded once for one loss',
    find: `if epoch() == known and lost == '1' then`,
    replace: `if epoch() and lost == '1' then`,
    test: 'test/recovery/claim-script.test.ts',
  },
  {
    name: 'claim-without-grace',
    guard: 'a loss gives every lease a grace',
    find: `redis.call('HDEL', EPOCH, 'freshest')
  redis.call('SET', GRACE, int(now))`,
    replace: `redis.call('HDEL', EPOCH, 'freshest')`,
    test: 'test/recovery/claim-script.test.ts',
  },
  {
    name: 'event-outside-transaction',
    guard: 'a change and its event are one script',
    find: `return { 204, append('removed', 'deregister', { 'by', by }, flatten(record)) }`,
    replace: `if EVENTS_MAX ~= '1' then
  redis.call('HSET', 'later', id, cjson.encode(record))
end
return { 204, epoch() .. '.' .. head }`,
    test: 'test/redis/races.test.ts test/redis/turns.test.ts test/redis/refusals.test.ts',
  },
  {
    name: 'evict-does-nothing',
    guard: 'an operator ends a hold',
    find: `hold.till, hold.state = now, 'released'
write_hold(home, hold)`,
    replace: `hold.till, hold.state = now, 'released'`,
    test: 'test/http/evict.test.ts',
  },
  {
    name: 'expired-twice',
    guard: 'only the run whose own ZREM removed the lease tells the departure',
    find: 'if score and score <= now then',
    replace: `if (score or 0) <= now then
    score = score or 0`,
    also: [
      { find: `elseif redis.call('ZREM', LEASES, member) == 1 then`, replace: `elseif redis.call('ZREM', LEASES, member) >= 0 then` },
    ],
    test: 'test/jobs test/replicas/sweep-worker-lost.test.ts test/redis/races.test.ts',
  },
  {
    name: 'heartbeat-revives',
    guard: 'a heartbeat never creates',
    find: 'if not (record.type and record.group) or (part.h and part.h ~= home_of(record)) then return { 404, epoch() } end',
    replace: `record.type, record.group, record.ttlSeconds = record.type or 'game', record.group or 'kr-1', record.ttlSeconds or '30'
  if (part.h and part.h ~= home_of(record)) then return { 404 } end`,
    test: 'test/redis/races.test.ts test/http/heartbeat.test.ts',
  },
  {
    name: 'hold-by-share-of-a-tick',
    guard: 'a hold is decided by who is late, not by who lapses at once',
    find: 'if 3 * (score - now) <= ttl then late = late + 1 end',
    replace: 'if score <= now then late = late + 1 end',
    test: 'test/holds/hold.test.ts',
  },
  {
    name: 'hold-fewer-than-five',
    guard: 'fewer than five are no mass lapse',
    find: 'local LATE_AT_LEAST = 5',
    replace: 'local LATE_AT_LEAST = 1',
    test: 'test/holds/hold-bounds.test.ts',
  },
  {
    name: 'hold-half',
    guard: 'half of a group is no mass lapse',
    find: 'if late >= LATE_AT_LEAST and 2 * late > members then',
    replace: 'if late >= LATE_AT_LEAST and 2 * late >= members then',
    test: 'test/holds/hold-bounds.test.ts',
  },
  {
    name: 'hold-in-grace',
    guard: 'who did not come back after an outage is not held on top of it',
    find: 'if now <= grace_from() + TTLS_AFTER_GRACE * ttl then return 0 end',
    replace: 'grace_from()',
    test: 'test/holds/hold-bounds.test.ts',
  },
  {
    name: 'hold-never',
    guard: 'a mass lapse is held',
    find: `local id = epoch()
judge_lapses()`,
    replace: 'local id = epoch()',
    test: 'test/holds/hold.test.ts',
  },
  {
    name: 'hold-not-in-sweep',
    guard: 'who is held is not evicted',
    find: 'return math.max(score, grace_from() + ttl, held_until(home))',
    replace: 'return math.max(score, grace_from() + ttl, 0 * held_until(home))',
    test: 'test/holds/hold.test.ts',
  },
  {
    name: 'hold-without-cool-down',
    guard: 'a hold is not followed by another at once',
    find: 'if hold and now < hold.cool then return 0 end',
    replace: 'if hold and now < hold.till then return 0 end',
    test: 'test/holds/hold-bounds.test.ts',
  },
  {
    name: 'ids-of-milliseconds',
    guard: 'an entry id is an identity',
    find: `return int(now) .. '-' .. SEED`,
    replace: `return int(now) .. '-0'`,
    test: 'test/recovery/entry-ids.test.ts',
  },
  {
    name: 'missing-overwrites',
    guard: 'a record that is there is not written over by one who only found it missing',
    find: `if mode == 'missing' and known then return 0 end`,
    replace: '',
    test: 'test/recovery/restore-script.test.ts',
  },
  {
    name: 'released-never',
    guard: 'a hold ends',
    find: `if ARGV[3] == 'sweep' then
  release_holds()`,
    replace: `if ARGV[3] == 'sweep' then`,
    test: 'test/holds/hold.test.ts',
  },
  {
    name: 'restore-any-epoch',
    guard: 'restore.lua insists on the epoch',
    find: `if epoch() ~= ARGV[3] then return { 'epoch' } end`,
    replace: 'epoch()',
    test: 'test/recovery/restore-script.test.ts',
  },
  {
    name: 'restore-any-position',
    guard: 'restore.lua insists that the position is an entry of the log',
    find: `if position ~= '' and position ~= head and #redis.call('XRANGE', EVENTS, position, position) == 0 then return { 'position' } end`,
    replace: `if position ~= '' and position ~= head and #redis.call('XRANGE', EVENTS, position, position) == 0 then position = '' end`,
    test: 'test/recovery/restore-script.test.ts',
  },
  {
    name: 'restore-first-word-wins',
    guard: 'of two words on one id the later stands',
    find: 'if fields.instanceId then named[fields.instanceId] = fields.of and order_of(fields.of) or ALWAYS end',
    replace: 'if fields.instanceId then named[fields.instanceId] = ALWAYS end',
    test: 'test/recovery/restore-script.test.ts',
  },
  {
    name: 'restore-last-word-wins',
    guard: 'of two words on one id the earlier does not stand because it came last',
    find: 'local function before(one, other) return one[1] < other[1] or (one[1] == other[1] and one[2] < other[2]) end',
    replace: 'local function before(one, other) return one ~= ALWAYS and one[1] ~= other[1] or one[2] ~= other[2] end',
    test: 'test/recovery/restore-script.test.ts',
  },
  {
    name: 'restore-unbounded',
    guard: 'who is far behind reads first',
    find: `if #later > READ_AT_MOST then return { 'behind' } end`,
    replace: '',
    test: 'test/recovery/restore-script.test.ts',
  },
  {
    name: 'restore-without-names',
    guard: 'restore.lua writes nothing for an id that an entry behind the position names',
    find: 'if named[id] and not before(named[id], order_of(of)) then return 0 end',
    replace: `if named[''] then return 0 end`,
    test: 'test/recovery/restore-script.test.ts',
  },
  {
    name: 'score-from-gateway-clock',
    guard: 'leases are scored by the time of Redis',
    find: 'local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)',
    replace: 'local now = tonumber(ARGV[#ARGV])',
    also: [
      { find: `return [how === 'sha' ? script.sha : script.source, this.#keys.length, ...this.#keys, random32(), this.#eventsMax, ...args];`, replace: `return [how === 'sha' ? script.sha : script.source, this.#keys.length, ...this.#keys, random32(), this.#eventsMax, ...args, Date.now()];` },
    ],
    test: 'test/guarantees/clock.test.ts',
  },
];
