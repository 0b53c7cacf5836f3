/** The one place that names keys. All of them share the prefix and so, in Cluster, its hash tag and its slot. */
export function makeKeys(prefix: string) {
  const stems = { face: `${prefix}instance:`, record: `${prefix}record:`, members: `${prefix}group:`, lockWake: `${prefix}lock-wake:` };
  const named = {
    leases: `${prefix}leases`,
    groups: `${prefix}groups`,
    events: `${prefix}events`,
    beats: `${prefix}beats`,
    epoch: `${prefix}epoch`,
    alive: `${prefix}alive`,
    grace: `${prefix}grace`,
    swept: `${prefix}swept`,
    holds: `${prefix}holds`,
    speakers: `${prefix}speakers`,
  };
  return {
    prefix,
    ...named,
    face: (id: string) => stems.face + id,
    record: (id: string) => stems.record + id,
    members: (home: string) => stems.members + home,
    membersStem: stems.members,
    /** Held by whoever reconciles in this interval. */
    reconcile: `${prefix}reconcile`,
    /** How far it came: cursors of SCAN. */
    reconciled: `${prefix}reconciled`,
    /** Signs the sessions of browsers. */
    sessionSecret: `${prefix}session-secret`,
    /** KEYS of the scripts of this lock, in the order of lua/include/lockkeys.lua. */
    lock: (name: string): [string, string, string, string, string] => [`${prefix}lock:${name}`, `${prefix}lock-queue:${name}`, `${prefix}lock-seen:${name}`, `${prefix}lock-fence`, stems.lockWake],
    /** By the name of a replica: whose turn it is there. */
    lockWake: stems.lockWake,
    /** KEYS of every other script, in the order of lua/include/keys.lua. */
    forScripts: [...Object.values(named), stems.face, stems.record, stems.members],
  };
}

export type Keys = ReturnType<typeof makeKeys>;

/**
 * BullMQ's own prefix, derived from ours, with a hash tag: two environments on one Redis never share a job. A prefix ends
 * with a colon (config.ts insists), so no two of them derive the same.
 */
export const jobsPrefix = (prefix: string) => (prefix.includes('{') ? `${prefix}jobs` : `{${prefix.replace(/:$/, '')}}-jobs`);

/** The id in `<type>:<group>:<id>`, a member of the leases. */
export const idOf = (member: string) => member.slice(member.lastIndexOf(':') + 1);
