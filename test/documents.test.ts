import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { CHANGE_KINDS, PROBLEM_CODES } from '../src/contract/index.js';

const read = (path: string) => readFileSync(path, 'utf8');
const VARIABLE = /\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*\b/g;
const names = (text: string, pattern: RegExp) => [...new Set([...text.matchAll(pattern)].map((match) => match[1] ?? match[0]))].sort();

/** As src/config.ts reads them: `read.integer('PORT', …)`, `env.HOST`. */
const variables = names(read('src/config.ts'), /(?:\bread\.\w+\(\s*'|\benv\.)([A-Z][A-Z_]+)/g);

test('.env.example lists exactly the variables that the configuration reads, each with a line about it', () => {
  const example = read('.env.example');
  expect(variables.length).toBeGreaterThan(15);
  expect(names(example, /^#([A-Z_]+)=/gm)).toEqual(variables);
  expect(names(example, /^# .+\n#([A-Z_]+)=/gm)).toEqual(variables);
});

test('the table of the operating guide lists exactly the variables that the configuration reads', () => {
  const table = read('docs/operating.md').split('## Redis')[0] as string;
  const cells = [...table.matchAll(/^\| (`[^|]+) \|/gm)].map((match) => match[1]).join(' ');
  expect(names(cells, VARIABLE)).toEqual(variables);
});

test('the operating guide names exactly the metrics of this gateway', () => {
  const counted = names(read('src/http/metrics/metrics.ts'), /(?:name: |gauge\()'(rollcall_\w+)'/g);
  const section = read('docs/operating.md').split('## Metrics')[1]?.split('Worth an alert')[0] ?? '';
  expect(names(section, /`(rollcall_\w+)`/g)).toEqual(counted);
});

const folders = ['docs', 'src', 'lua', 'test', 'bench', 'deploy'];
const everything = [...readdirSync('.'), ...folders.flatMap((folder) => readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((path) => join(folder, path)))];
const documents = everything.filter((path) => path.endsWith('.md'));

test.each(documents)('%s links to nothing that does not exist', (path) => {
  const links = [...read(path).matchAll(/\]\((?!https?:)([^)#]+)/g)].map((match) => match[1] as string);
  expect(links.filter((link) => !existsSync(join(dirname(path), link)))).toEqual([]);
});

test.each(['README.md', 'docs/api.md'])('%s tells a client to set a time limit, of calls, long polls and streams', (path) => {
  expect(read(path)).toMatch(/\b5 s(?:econds)?\W/);
  expect(read(path)).toContain('a long poll its `wait` + 10 s, a stream 45 s without a byte');
});

test('docs/api.md names every kind of change, every event of a watch and every error code', () => {
  const text = read('docs/api.md');
  const told = [...CHANGE_KINDS, 'snapshot', 'bookmark', 'reset', 'performance', ...PROBLEM_CODES];
  expect(told.filter((name) => !text.includes(`\`${name}\``))).toEqual([]);
});
