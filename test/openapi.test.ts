import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
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
interface Parameter {
  name: string;
  in: string;
  required?: boolean;
  style?: string;
  explode?: boolean;
  schema?: Schema;
  example?: unknown;
  description?: string;
}
interface Operation {
  operationId?: string;
  description?: string;
  summary?: string;
  security?: Record<string, unknown>[];
  tags?: string[];
  requestBody?: { content: Record<string, Media> };
  parameters?: Parameter[];
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
    'DELETE /sd/v1/instances/{id}', 'DELETE /sd/v1/locks/{name}', 'GET /livez', 'GET /metrics', 'GET /readyz', 'GET /sd/v1/events', 'GET /sd/v1/groups', 'GET /sd/v1/instances',
    'GET /sd/v1/instances/{id}', 'GET /sd/v1/locks/{name}', 'GET /sd/v1/watch', 'PATCH /sd/v1/instances/{id}', 'POST /sd/v1/groups/{type}/{group}/evict', 'POST /sd/v1/heartbeats', 'POST /sd/v1/instances',
    'POST /sd/v1/instances/{id}/heartbeat', 'POST /sd/v1/locks/{name}', 'POST /sd/v1/locks/{name}/renew', 'POST /sd/v1/session',
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

describe('for generated clients', () => {
  const operation = (id: string) => operations.find((one) => one.operation.operationId === id)?.operation;
  const parameter = (id: string, name: string) => operation(id)?.parameters?.find((one) => one.name === name);
  const headersOf = (id: string) => operation(id)?.parameters?.filter((one) => one.in === 'header').map(({ name }) => name);

  test('every header that a route reads is a parameter, and none is needed', () => {
    expect(headersOf('discoverInstances')).toEqual(['If-None-Match', 'Prefer', 'X-Request-Id']);
    expect(headersOf('watchInstances')).toEqual(['Last-Event-ID', 'X-Request-Id']);
    const all = operations.flatMap((one) => one.operation.parameters ?? []);
    expect(all.filter((one) => one.name === 'X-Request-Id')).toHaveLength(operations.length);
    expect(all.filter((one) => one.in !== 'path' && one.required).map(({ name }) => name)).toEqual(['lease']); // who gives a lock back says which
    expect(all.filter((one) => !one.description)).toEqual([]);
  });

  test('labels are an object, and lists are arrays of enums that one parameter carries', () => {
    expect(parameter('discoverInstances', 'label')).toMatchObject({ in: 'query', style: 'deepObject', explode: true, example: {}, schema: { type: 'object', additionalProperties: { type: 'string' } } });
    const list = (values: string[]) => ({ in: 'query', style: 'form', explode: false, schema: { type: 'array', items: { type: 'string', enum: values } } });
    expect(parameter('discoverInstances', 'status')).toMatchObject(list(['initializing', 'ready', 'shutting_down', 'error']));
    expect(parameter('listEvents', 'kind')).toMatchObject(list(['registered', 'updated', 'removed', 'expired', 'restored', 'held', 'released']));
  });

  test('nothing has a default, which generators read as something that must be given; every enum has a type', () => {
    const found: string[] = [];
    JSON.parse(JSON.stringify(document), (key, value: unknown) => {
      if (key === 'default') found.push(`default: ${JSON.stringify(value)}`);
      if (typeof value === 'object' && value !== null && 'enum' in value && !('type' in value)) found.push(JSON.stringify(value));
      return value;
    });
    expect(found).toEqual([]);
  });

  test('a watch and the log speak in named shapes, and every kind of change is one of them', () => {
    const named = (name: string) => ({ $ref: `#/components/schemas/${name}` });
    const { schemas } = document.components;
    expect(operation('watchInstances')?.responses?.['200']?.content?.['text/event-stream']?.schema).toEqual(named('WatchEvent'));
    expect(schemas.WatchEvent?.anyOf).toEqual(['Snapshot', 'Change', 'Bookmark', 'Reset', 'PerformanceFrame'].map(named));
    expect(schemas.Change?.anyOf).toEqual(['Event', 'Moved'].map(named));
    expect(schemas.EventsReply?.properties?.events?.items).toEqual(named('Event'));
    const kinds = ['InstanceEvent', 'HoldEvent'].flatMap((name) => schemas[name]?.properties?.kind?.enum);
    expect(kinds).toEqual(['registered', 'updated', 'removed', 'expired', 'restored', 'held', 'released']);
    for (const kind of kinds) expect(operation('watchInstances')?.description).toContain(`\`${String(kind)}\``);
  });
});

test.each(operations.filter(({ operation }) => operation.responses?.['400']))('$name shows a 400 that it can answer', ({ operation }) => {
  const example = operation.responses?.['400']?.content?.['application/problem+json']?.example as { detail: string; errors: { pointer: string; detail: string }[] };
  const [{ pointer, detail } = { pointer: '', detail: '' }] = example.errors;
  expect(example.detail).toBe(`${pointer} ${detail}`);
  if (pointer.startsWith('?')) {
    const known = operation.parameters?.some(({ name, in: where }) => where === 'query' && name === pointer.slice(1)) ?? false;
    expect(known).toBe(detail !== 'is not a known parameter');
  } else {
    expect(operation.requestBody).toBeDefined();
    expect(pointer === '/hostname').toBe(operation.operationId === 'registerInstance');
  }
});

test('who tries a registration has time to read on: the lease of the example is ten minutes', () => {
  expect(document.components.schemas.Registration?.properties?.ttlSeconds?.examples).toEqual([600]);
});
