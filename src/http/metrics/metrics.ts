import type { FastifyInstance, FastifyRequest } from 'fastify';
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { View } from '../../registry/view/view.js';
import { CHANGE_KINDS } from '../../contract/index.js';
import { LATENCY_BUCKETS, Latencies } from './histogram.js';
import { SHED_ORDER } from '../requests/pressure.js';
import { commonProblems, noQuery } from '../schemas.js';
import { version } from '../version.js';

/** Gauges of the library with names of counters, which `promtool check metrics` refuses; the same stands in `nodejs_active_handles` and its like. */
const MISNAMED = ['nodejs_active_handles_total', 'nodejs_active_requests_total', 'nodejs_active_resources_total'];

function counters() {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  for (const name of MISNAMED) registry.removeSingleMetric(name);
  const registers = [registry];
  return {
    registry,
    build: new Gauge({ registers, name: 'rollcall_build_info', help: 'Always 1: the version of this replica and of its Node.js', labelNames: ['version', 'node'] }),
    requests: new Latencies(registry, { name: 'rollcall_http_request_seconds', help: 'Requests by route' }),
    transactions: new Histogram({ registers, name: 'rollcall_redis_transaction_seconds', help: 'Round trips of write transactions to Redis', buckets: LATENCY_BUCKETS }),
    transactionErrors: new Counter({ registers, name: 'rollcall_redis_transaction_errors_total', help: 'Write transactions in which Redis refused something or did not answer' }),
    redisReachable: new Gauge({ registers, name: 'rollcall_redis_reachable', help: '1 while Redis answers the pulse' }),
    heartbeats: new Counter({ registers, name: 'rollcall_heartbeats_total', help: 'Heartbeats by status', labelNames: ['status'] }),
    sweeps: new Counter({ registers, name: 'rollcall_sweeps_total', help: 'Sweep jobs that this replica ran', labelNames: ['outcome'] }),
    sweepSeconds: new Histogram({ registers, name: 'rollcall_sweep_seconds', help: 'Sweep jobs, from start to end', buckets: LATENCY_BUCKETS }),
    lastSweep: new Gauge({ registers, name: 'rollcall_last_sweep_timestamp_seconds', help: 'When this replica last ran a sweep job' }),
    evictions: new Counter({ registers, name: 'rollcall_evictions_total', help: 'Instances evicted by this replica' }),
    rescored: new Counter({ registers, name: 'rollcall_rescored_total', help: 'Leases that the sweep found to end later, by grace' }),
    changes: new Counter({ registers, name: 'rollcall_changes_total', help: 'Changes read from the log, by kind', labelNames: ['kind'] }),
    reloads: new Counter({ registers, name: 'rollcall_view_loads_total', help: 'Times the whole registry was read: start, lag (the log had a gap), epoch (it was another), outdated (others know better), diverged (it was proved wrong)', labelNames: ['reason'] }),
    watchersEnded: new Counter({ registers, name: 'rollcall_watchers_ended_total', help: 'Watchers ended by this replica: slow, stuck, revoked, shutdown', labelNames: ['reason'] }),
    recoveries: new Counter({ registers, name: 'rollcall_recoveries_total', help: 'Times this replica gave back to Redis what that had lost' }),
    divergences: new Counter({ registers, name: 'rollcall_divergences_total', help: 'Proofs that the view was not what Redis or another replica says: beat (of an unknown instance), tag (other content at the same position), log (not the one that was read)', labelNames: ['reason'] }),
    shed: new Counter({ registers, name: 'rollcall_shed_total', help: 'Requests refused for want of time: read, write, heartbeat', labelNames: ['work'] }),
    reconciled: new Counter({ registers, name: 'rollcall_reconciled_total', help: 'Hand-written keys mended', labelNames: ['action'] }),
  };
}

/** What this replica counts. Labels are route patterns, statuses and fixed words: never an id, so they stay bounded. */
export function createMetrics() {
  const metrics = counters();
  startAtZero(metrics);
  return metrics;
}

export type Metrics = ReturnType<typeof createMetrics>;

/** Every label value that can occur is there from the start, at 0: a rate over a series that begins with its first event misses that event. */
function startAtZero({ build, requests, heartbeats, sweeps, changes, reloads, divergences, watchersEnded, shed, reconciled }: ReturnType<typeof counters>) {
  build.labels(version, process.versions.node).set(1);
  const each = (counter: Counter, values: readonly string[]) => {
    for (const value of values) counter.labels(value).inc(0);
  };
  each(heartbeats, ['200', '404', '409', '503']);
  each(sweeps, ['done', 'failed']);
  each(changes, [...CHANGE_KINDS, 'unknown']);
  each(reloads, ['start', 'lag', 'epoch', 'outdated', 'diverged']);
  each(divergences, ['beat', 'tag', 'log']);
  each(watchersEnded, ['slow', 'stuck', 'revoked', 'shutdown']);
  each(shed, SHED_ORDER);
  each(reconciled, ['removed', 'adopted']);
  const [method, route, status] = ['POST', '/sd/v1/instances', '503']; // a full Redis shows here and nowhere else
  requests.declare(`${status} ${method} ${route}`, { method, route, status });
}

/** Looking a label set up costs more than counting in it, and there are few. */
function remembered<T>(make: (key: string) => T) {
  const known = new Map<string, T>();
  return (key: string): T => {
    let value = known.get(key);
    if (value === undefined) known.set(key, (value = make(key)));
    return value;
  };
}

/** What is read off the view when somebody asks. */
function observeView({ registry }: Metrics, view: View) {
  const gauge = (name: string, help: string, value: () => number) => {
    new Gauge({
      registers: [registry],
      name,
      help,
      collect() {
        this.set(value());
      },
    });
  };
  gauge('rollcall_view_loaded', '1 once this replica has read the registry', () => (view.loaded ? 1 : 0));
  gauge('rollcall_view_instances', 'Instances in the memory of this replica', () => view.size);
  gauge('rollcall_view_stale_seconds', 'How old the view is while it is stale, or known to lack something; 0 while it is fresh', () => (view.staleMs ?? 0) / 1000);
  gauge('rollcall_view_groups_held', 'Groups of which most fell silent at once', () => view.held);
  gauge('rollcall_pending_writes', 'Acknowledged by this replica, and not read by it yet', () => view.pending.size);
  gauge('rollcall_watchers', 'Watchers of this replica', () => view.hub.watching);
  gauge('rollcall_long_polls', 'Long polls that wait', () => view.polls.waiting);
}

export function countHeartbeats(metrics: Metrics) {
  const counterFor = remembered((status) => metrics.heartbeats.labels(status));
  return (status: number) => counterFor(String(status)).inc();
}

export function countChanges(metrics: Metrics) {
  const counterFor = remembered((kind) => metrics.changes.labels(kind));
  return (kind: string) => counterFor(kind).inc();
}

/** Counts a request by its route pattern. */
export function countRequest({ requests }: Metrics, { method, routeOptions }: FastifyRequest, status: number, ms: number) {
  const route = routeOptions.url ?? 'none';
  requests.observe(`${status} ${method} ${route}`, () => ({ method, route, status: String(status) }), ms / 1000);
}

/** Serves `/metrics` in the Prometheus text format. */
export function installMetrics(app: FastifyInstance, metrics: Metrics, view: View, isPublic: boolean) {
  observeView(metrics, view);
  app.get(
    '/metrics',
    {
      config: { access: isPublic ? 'public' : 'read', whole: true },
      schema: {
        operationId: 'metrics',
        summary: 'Prometheus metrics of this replica',
        description: 'They count the whole registry: the token needs `read` or `admin`, and no patterns.',
        tags: ['operations'],
        querystring: noQuery,
        response: {
          200: { description: 'Prometheus text format', content: { 'text/plain': { schema: { type: 'string', examples: ['rollcall_evictions_total 3'] } } } },
          ...commonProblems('?name', 'is not a known parameter'),
        },
      },
    },
    async (_request, reply) => {
      const text = await metrics.registry.metrics();
      return reply.type(metrics.registry.contentType).serializer(String).send(text);
    },
  );
}
