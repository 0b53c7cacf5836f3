import { DEFAULT_LIMIT, LABEL_PARAMETER, MAX_LIMIT, MAX_PROBED, type DiscoverQuery, type FreshnessQuery, type Status } from '../../contract/index.js';
import { invalidField } from '../../registry/errors.js';
import type { Discovery, Freshness } from '../../registry/queries.js';

/** A page of which each instance is read and written again: a full one of 8 MiB would be a turn of 100 ms. */
const PROBED_BYTES = 1024 * 1024;

/** The labels asked for, in either spelling. */
function labelsOf(query: DiscoverQuery): Record<string, string> | undefined {
  const labels = new Map<string, string>();
  for (const [name, value] of Object.entries(query as Record<string, string>)) {
    const [, dotted, bracketed] = LABEL_PARAMETER.exec(name) ?? [];
    const key = dotted ?? bracketed;
    if (key === undefined) continue;
    if (labels.has(key)) throw invalidField(`?${name}`, `names the label ${key} a second time`);
    labels.set(key, value);
  }
  return labels.size > 0 ? Object.fromEntries(labels) : undefined;
}

/** A query string as the registry's question. */
export function discoveryOf(query: DiscoverQuery): Discovery {
  const { type, group, status, after, healthCheck, include } = query;
  const labels = labelsOf(query);
  const largest = healthCheck ? MAX_PROBED : type !== undefined && group !== undefined ? MAX_LIMIT : DEFAULT_LIMIT;
  if (healthCheck && include) throw invalidField('?include', 'cannot be given together with healthCheck=true: who has left cannot answer');
  if (healthCheck && (query.limit ?? 0) > MAX_PROBED) throw invalidField('?limit', `must be <= ${MAX_PROBED} with healthCheck=true`);
  return {
    limit: query.limit ?? largest,
    ...(healthCheck && { pageBytes: PROBED_BYTES }),
    ...(type !== undefined && { type }),
    ...(group !== undefined && { group }),
    ...(after !== undefined && { after }),
    ...(include === 'offline' && { offline: true }),
    ...(status !== undefined && { statuses: status.split(',') as Status[] }),
    ...(labels && { labels }),
  };
}

export const freshnessOf = ({ minRevision, consistency }: FreshnessQuery): Freshness => ({
  ...(minRevision !== undefined && { minRevision }),
  ...(consistency === 'strong' && { strong: true }),
});
