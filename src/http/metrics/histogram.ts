import type { Metric, Registry } from 'prom-client';

/** Upper bounds of the buckets, in seconds. */
export const LATENCY_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];

interface Series {
  labels: Record<string, string>;
  /** How many fell into each bucket, and above the last. */
  counts: number[];
  sum: number;
}

/**
 * A histogram for what happens with every request. The library's own looks its labels up and hashes them each time, which was a
 * twentieth of the gateway's work for an answer from memory; here a series is found once and counted in.
 */
export class Latencies {
  readonly #series = new Map<string, Series>();

  constructor(registry: Registry, private readonly about: { name: string; help: string }) {
    registry.registerMetric({ ...about, get: () => Promise.resolve(this.#read()), reset: () => this.#series.clear() } as unknown as Metric);
  }

  /** Adds one of these labels. `key` is theirs alone. */
  observe(key: string, labelsOf: () => Record<string, string>, seconds: number) {
    const series = this.#series.get(key) ?? this.declare(key, labelsOf());
    let bucket = 0;
    while (bucket < LATENCY_BUCKETS.length && seconds > (LATENCY_BUCKETS[bucket] as number)) bucket++;
    (series.counts[bucket] as number)++;
    series.sum += seconds;
  }

  /** Begins a series at 0. */
  declare(key: string, labels: Record<string, string>): Series {
    const series = { labels, counts: new Array<number>(LATENCY_BUCKETS.length + 1).fill(0), sum: 0 };
    this.#series.set(key, series);
    return series;
  }

  #read() {
    const { name } = this.about;
    const values = [...this.#series.values()].flatMap(({ labels, counts, sum }) => {
      let below = 0;
      const buckets = counts.map((count, i) => ({ metricName: `${name}_bucket`, labels: { le: String(LATENCY_BUCKETS[i] ?? '+Inf'), ...labels }, value: (below += count) }));
      return [...buckets, { metricName: `${name}_sum`, labels, value: sum }, { metricName: `${name}_count`, labels, value: below }];
    });
    return { ...this.about, type: 'histogram', aggregator: 'sum', values };
  }
}
