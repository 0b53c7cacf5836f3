import type { Elsewhere, Fault, Outcome, Scale } from './scale.js';

interface Run {
  results: { fault: Fault; outcome: Outcome }[];
  elsewhere: Elsewhere[];
  scale: Scale;
  machine: string;
  minutes: string;
}

const cell = (text: string) => text.replaceAll('|', '\\|').replaceAll('\n', ' ');

/** bench/faults.md. */
export function report({ results, elsewhere, scale, machine, minutes }: Run): string {
  const failed = results.filter(({ outcome }) => outcome.failures.length > 0);
  const rows = results.map(({ fault, outcome }) => {
    const numbers = Object.entries(outcome.numbers).map(([name, value]) => `${name} ${value}`).join(', ');
    return `| \`${fault.name}\` | ${cell(fault.expectation)} | ${cell(numbers)} | ${outcome.failures.length === 0 ? 'pass' : 'FAIL'} |`;
  });
  const reasons = failed.flatMap(({ fault, outcome }) => [`- \`${fault.name}\`: ${cell((outcome.failures[0] ?? '').slice(0, 300))}`]);
  return `# Faults

Written by \`npm run faults\` on ${new Date().toISOString().slice(0, 10)}, ${machine}, in ${minutes} minutes: ${results.length - failed.length} of ${results.length} passed.

Three replicas on a Redis of their own; unless the fault says otherwise ${scale.instances} instances in ${scale.groups} groups with leases of ${scale.ttlSeconds} s that beat every ${scale.ttlSeconds / 3} s,
${scale.watchers} watchers, ${scale.discoversPerSecond} discoveries a second. In every fault:

- \`early\`: answers of discovery, of any replica at any moment, that left out a live instance. Must be 0.
- \`ghosts\`: dead or removed instances that were shown 2 s after their lease could last, by an answer that is not marked stale. Must be 0.
- \`falseDepartures\`: events that told watchers of the end of a live instance. Must be 0; no snapshot without the live, and no \`reset\` unless the fault makes one.
- \`reRegistered\`: heartbeats of live instances that were answered 404. Must be 0.
- Refused writes are 503 with \`Retry-After\`, within 1.5 s (\`slowestRefusalMs\`).
- In the end the answers of all replicas, their ETags, what each watcher has pieced together, and Redis are the same, and are those who live; no departure was told twice.

\`needless\`: times a watcher was told \`restored\` of what it had already.

| fault | must be so | numbers | |
|---|---|---|---|
${rows.join('\n')}
${reasons.length > 0 ? `\nFailed:\n\n${reasons.join('\n')}\n` : ''}
Shown elsewhere:

| fault | where |
|---|---|
${elsewhere.map(({ name, where }) => `| ${name} | ${where} |`).join('\n')}
`;
}
