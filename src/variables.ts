export interface Variable {
  name: string;
  /** Empty: none, or as the line about it says. */
  default: string;
  about: string;
}

const row = (name: string, fallback: string, about: string): Variable => ({ name, default: fallback, about });

/** Every variable that the gateway reads, for `--help`; .env.example is held to it by a test. */
export const VARIABLES: Variable[] = [
  row('HOST', '0.0.0.0', 'Address to listen on; 127.0.0.1 with the embedded Redis, else 0.0.0.0'),
  row('PORT', '3000', 'Port to listen on; with the embedded Redis the next free one if this is taken and was not asked for'),
  row('REDIS_URL', '', 'Redis 7.0 or newer, or Valkey; empty: a Redis of its own, in memory. redis://, rediss://, redis+sentinel://h:p,h:p/name, redis+cluster://h:p,h:p'),
  row('REDIS_PREFIX', 'service:', 'Before every key, ending with a colon; in Cluster it must hold a hash tag, and is {service}: by default'),
  row('REDIS_TLS_CA', '', "File with the certificate (PEM) of the authority that signed Redis' own; empty: those that Node knows"),
  row('API_TOKENS', '', 'Comma-separated tokens with full access; empty: one is made with the embedded Redis, an external one needs this or the file'),
  row('API_TOKENS_FILE', '', 'JSON file of tokens with names, verbs and patterns; read again when it changes'),
  row('LEASE_TTL_SECONDS', '30', 'Length of a lease when a registration names none'),
  row('LEASE_TTL_MIN_SECONDS', '2', 'The shortest lease that a registration may ask for'),
  row('LEASE_TTL_MAX_SECONDS', '3600', 'The longest lease that a registration may ask for'),
  row('HEARTBEAT_INTERVAL_MS', '10000', 'How often an instance should beat; a third of its lease if that is shorter'),
  row('SWEEP_INTERVAL_MS', '1000', 'How often one of the replicas looks for leases that have ended'),
  row('RECONCILE_INTERVAL_MS', '30000', 'How often one of the replicas compares hand-written keys with the leases'),
  row('EVENTS_MAX', '50000', 'About how many changes the log keeps, for watchers who come back, for looking back, and for replicas that fall behind; at least 5000'),
  row('OFFLINE_SECONDS', '300', 'How long those who left stay listed with include=offline'),
  row('MAX_STALE_SECONDS', '3600', 'How long a replica answers from memory while Redis is silent'),
  row('TRUST_PROXY', '', "Balancers whose X-Forwarded-For is believed: CIDRs or addresses, comma-separated; empty: nobody's"),
  row('CORS_ORIGINS', '', 'Exact origins whose pages may call the API, comma-separated; empty: none'),
  row('RATE_LIMIT_PER_SECOND', '', 'Requests a second per token and replica, heartbeats counted by themselves; empty: no limit'),
  row('HEALTH_CHECK_CIDRS', '10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7', 'Where healthCheck=true may connect: CIDRs or addresses, or none; with the embedded Redis loopback too; link-local and metadata addresses never'),
  row('METRICS_PUBLIC', 'false', 'true: /metrics without a token'),
  row('LOG_LEVEL', 'info', 'fatal, error, warn, info, debug, trace or silent; a line for each request at debug'),
  row('NODE_ENV', '', 'production: refuse to start without REDIS_URL'),
  row('NOTIFY_SOCKET', '', 'Set by systemd for a unit of Type=notify, not by you: where it is told that the registry is read'),
];

/** Variables that are set, are none of ours, and differ from one by a letter or two: `REDIS_URI`, `API_TOKEN`. */
export function misspelt(given: string[]): { variable: string; meant: string }[] {
  const known = VARIABLES.map(({ name }) => name);
  const long = known.filter((name) => name.includes('_') && name !== 'NODE_ENV');
  return given.flatMap((variable) => {
    if (known.includes(variable)) return [];
    const meant = long.find((name) => Math.abs(variable.length - name.length) <= 2 && distance(variable.toUpperCase(), name) <= 2);
    return meant === undefined ? [] : [{ variable, meant }];
  });
}

/** How many letters must be changed, added or taken away (Levenshtein). */
function distance(one: string, other: string): number {
  let row = Array.from({ length: other.length + 1 }, (_, i) => i);
  for (const [i, letter] of [...one].entries()) {
    const next = [i + 1];
    for (const [k, against] of [...other].entries()) {
      next.push(Math.min((next[k] as number) + 1, (row[k + 1] as number) + 1, (row[k] as number) + (letter === against ? 0 : 1)));
    }
    row = next;
  }
  return row.at(-1) as number;
}
