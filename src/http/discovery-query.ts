import { DEFAULT_LIMIT, MAX_LIMIT, MAX_PROBED, type DiscoverQuery, type FreshnessQuery, type Status } from '../contract/index.js';
import { invalidField } from '../registry/errors.js';
import type { Discovery, Freshness } from '../registry/queries.js';

const LABEL = 'label.';

/** A query string as the registry's question. */
export function discoveryOf(query: DiscoverQuery): Discovery {
  const { type, group, status, after, healthCheck, include } = query;
  const labels = Object.entries(query as Record<string, string>).filter(([key]) => key.startsWith(LABEL));
  const largest = healthCheck ? MAX_PROBED : type !== undefined && group !== undefined ? MAX_LIMIT : DEFAULT_LIMIT;
  if (healthCheck && include) throw invalidField('?include', 'cannot be given together with healthCheck=true: who has left cannot answer');
  if (healthCheck && (query.limit ?? 0) > MAX_PROBED) throw invalidField('?limit', `must be <= ${MAX_PROBED} with healthCheck=true`);
  return {
    limit: query.limit ?? largest,
    ...(type !== undefined && { type }),
    ...(group !== undefined && { group }),
    ...(after !== undefined && { after }),
    ...(include === 'offline' && { offline: true }),
    ...(status !== undefined && { statuses: status.split(',') as Status[] }),
    ...(labels.length > 0 && { labels: Object.fromEntries(labels.map(([key, value]) => [key.slice(LABEL.length), value])) }),
  };
}

export const freshnessOf = ({ minRevision, consistency }: FreshnessQuery): Freshness => ({
  ...(minRevision !== undefined && { minRevision }),
  ...(consistency === 'strong' && { strong: true }),
});
