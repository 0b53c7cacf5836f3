export type RedisTarget = {
  kind: 'single' | 'sentinel' | 'cluster';
  nodes: { host: string; port: number }[];
  /** The primary's name, for Sentinel. */
  name?: string;
  username?: string;
  password?: string;
  db: number;
  tls: boolean;
};

const SCHEMES: Record<string, { kind: RedisTarget['kind']; tls: boolean; port: number }> = {
  redis: { kind: 'single', tls: false, port: 6379 },
  rediss: { kind: 'single', tls: true, port: 6379 },
  'redis+sentinel': { kind: 'sentinel', tls: false, port: 26_379 },
  'rediss+sentinel': { kind: 'sentinel', tls: true, port: 26_379 },
  'redis+cluster': { kind: 'cluster', tls: false, port: 6379 },
  'rediss+cluster': { kind: 'cluster', tls: true, port: 6379 },
};

const FORM = /^([a-z+]+):\/\/(?:([^:@/]*)(?::([^@/]*))?@)?([^/@?#]+)(?:\/([^/?#]*))?$/;
const NODE = /^(\[[0-9A-Fa-f:.]+\]|[^:[\]]+)(?::(\d{1,5}))?$/;

/**
 * Reads `redis://`, `rediss://`, `redis+sentinel://h:p,h:p/name` and `redis+cluster://h:p,h:p` (and their `rediss+`
 * forms), each with an optional `user:password@`, percent-encoded. Node's URL cannot hold a list of hosts.
 * @throws {Error} that says what is wrong, without the password.
 */
export function parseRedisUrl(url: string): RedisTarget {
  const login = url.replace(/^[a-z+]+:\/\//, '').split('@').slice(0, -1).join('@');
  if (/[/?#@]/.test(login)) throw new Error('has a user or password with one of / ? # @ in it: percent-encode it, as %2F %3F %23 %40');
  const match = FORM.exec(url);
  const scheme = match && SCHEMES[match[1] ?? ''];
  if (!match || !scheme) {
    throw new Error('must look like redis://[user:password@]host:port/0, rediss://…, redis+sentinel://h:p,h:p/name or redis+cluster://h:p,h:p');
  }
  const [, , username, password, hosts = '', path = ''] = match;
  const nodes = hosts.split(',').map((text) => {
    const node = NODE.exec(text);
    const port = Number(node?.[2] ?? scheme.port);
    if (!node || port < 1 || port > 65_535) throw new Error(`has a bad host or port: '${text}'`);
    return { host: (node[1] ?? '').replace(/^\[|\]$/g, ''), port };
  });
  if (scheme.kind === 'single' && nodes.length > 1) throw new Error('names several hosts: use redis+sentinel:// or redis+cluster://');
  if (scheme.kind === 'sentinel' && path === '') throw new Error("needs the primary's name: redis+sentinel://h:p,h:p/name");
  if (scheme.kind !== 'sentinel' && !/^\d{0,4}$/.test(path)) throw new Error(`has a database that is not a number: '${path}'`);
  if (scheme.kind === 'cluster' && Number(path) > 0) throw new Error('names a database, which Cluster does not have');
  return {
    kind: scheme.kind,
    nodes,
    tls: scheme.tls,
    db: scheme.kind === 'sentinel' ? 0 : Number(path),
    ...(scheme.kind === 'sentinel' && { name: path }),
    ...(username && { username: decodeURIComponent(username) }),
    ...(password && { password: decodeURIComponent(password) }),
  };
}

/** The target for people and logs: no password. A database other than 0 is part of it. */
export const describeTarget = (target: RedisTarget) =>
  `${target.nodes.map(({ host, port }) => `${host}:${port}`).join(',')}${target.name ? `/${target.name}` : ''}${target.db > 0 ? `/${target.db}` : ''}`;
