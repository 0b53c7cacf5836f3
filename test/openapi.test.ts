import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { renderOpenapi } from './helpers/openapi.js';

interface Schema {
  $ref?: string;
  type?: string;
  example?: unknown;
  examples?: unknown;
  enum?: unknown[];
  const?: unknown;
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  anyOf?: Schema[];
}
interface Media {
  schema?: Schema;
  example?: unknown;
  examples?: unknown;
}
interface Operation {
  operationId?: string;
  summary?: string;
  security?: Record<string, unknown>[];
  tags?: string[];
  requestBody?: { content: Record<string, Media> };
  parameters?: { name: string; in: string; schema?: Schema; example?: unknown; description?: string }[];
  responses?: Record<string, { description?: string; content?: Record<string, Media> }>;
}
interface Document {
  openapi: string;
  tags: { name: string }[];
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Schema> };
}

const committed = readFileSync(new URL('../openapi.yaml', import.meta.url), 'utf8');
const document = parse(committed) as Document;
const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ name: `${method.toUpperCase()} ${path}`, path, operation })),
);

/** These never have a body, so there is nothing to show. */
const BODILESS = ['204', '304'];

/** A schema explains itself when it, or everything in it, has an example or is a closed list. */
function illustrated(schema: Schema | undefined, seen: string[] = []): boolean {
  if (!schema) return false;
  if (schema.$ref !== undefined) {
    const name = schema.$ref.split('/').at(-1) as string;
    return seen.includes(name) || illustrated(document.components.schemas[name], [...seen, name]);
  }
  if (schema.example !== undefined || schema.examples !== undefined || schema.enum !== undefined || schema.const !== undefined) return true;
  if (schema.type === 'boolean') return true;
  if (schema.properties) return Object.values(schema.properties).every((property) => illustrated(property, seen));
  if (schema.items) return illustrated(schema.items, seen);
  return schema.anyOf?.some((choice) => illustrated(choice, seen)) ?? false;
}

test('openapi.yaml says what the routes say: run `npm run openapi` when it does not', async () => {
  expect(await renderOpenapi()).toBe(committed);
});

test('it is OpenAPI 3.1, with an operation for every route of the gateway', () => {
  expect(document.openapi).toBe('3.1.0');
  expect(operations.map(({ name }) => name).sort()).toEqual([
    'DELETE /sd/v1/instances/{id}', 'GET /livez', 'GET /metrics', 'GET /readyz', 'GET /sd/v1/events', 'GET /sd/v1/groups', 'GET /sd/v1/instances',
    'GET /sd/v1/instances/{id}', 'GET /sd/v1/watch', 'PATCH /sd/v1/instances/{id}', 'POST /sd/v1/groups/{type}/{group}/evict', 'POST /sd/v1/heartbeats', 'POST /sd/v1/instances',
    'POST /sd/v1/instances/{id}/heartbeat', 'POST /sd/v1/session',
  ]);
});

test('no two operations have one id', () => {
  const ids = operations.map(({ operation }) => operation.operationId);
  expect(new Set(ids).size).toBe(ids.length);
});

test.each(operations)('$name says who it is, for whom, and all that it answers', ({ name, path, operation }) => {
  expect(operation.operationId).toMatch(/^[a-z][A-Za-z]+$/);
  expect(operation.summary).toMatch(/^[A-Z].{5,}/);
  expect(operation.tags).toHaveLength(1);
  expect(document.tags.map(({ name }) => name)).toContain(operation.tags?.[0]);
  const isOpen = ['/livez', '/readyz'].includes(path);
  const toRead = name.startsWith('GET ') ? [{ session: [] }] : [];
  expect(operation.security).toEqual(isOpen ? [] : [{ apiToken: [] }, { bearer: [] }, ...toRead]);

  const answers = Object.keys(operation.responses ?? {});
  expect(answers.some((status) => status.startsWith('2'))).toBe(true);
  if (!isOpen) expect(answers).toEqual(expect.arrayContaining(['401', '403']));
  if (path.startsWith('/sd/')) expect(answers).toEqual(expect.arrayContaining(['400', '401', '403', '429', '503']));
  if (operation.requestBody) expect(answers).toEqual(expect.arrayContaining(['413', '415']));
  if (path.includes('{id}')) expect(answers).toContain('404');
  for (const [status, { description, content }] of Object.entries(operation.responses ?? {})) {
    expect(description, status).toMatch(/\w{4,}/);
    if (Number(status) >= 400 && !isOpen) expect(Object.keys(content ?? {}), status).toEqual(['application/problem+json']);
  }
});

test.each(operations)('$name shows an example of every body and of what its path needs', ({ operation }) => {
  // Not of a query: Swagger UI would send it, for a parameter that one may leave out.
  for (const { name, schema, example } of operation.parameters?.filter((one) => one.in === 'path') ?? []) expect(example !== undefined || illustrated(schema), name).toBe(true);
  const bodies = [['request', operation.requestBody] as const, ...Object.entries(operation.responses ?? {}).filter(([status]) => !BODILESS.includes(status))];
  for (const [where, body] of bodies) {
    for (const media of Object.values(body?.content ?? {})) {
      expect(media.example !== undefined || media.examples !== undefined || illustrated(media.schema), where).toBe(true);
    }
  }
});

test('every reference leads somewhere', () => {
  const references = [...committed.matchAll(/\$ref: "?#\/components\/schemas\/(\w+)"?/g)].map(([, name]) => name as string);
  expect(references.length).toBeGreaterThan(10);
  expect(references.filter((name) => !(name in document.components.schemas))).toEqual([]);
});
