import swagger from '@fastify/swagger';
import type { FastifyInstance, RouteOptions } from 'fastify';
import { styleParameter, withParameters } from '../parameters.js';
import { version } from '../version.js';
import { SESSION_COOKIE } from '../auth/sessions.js';

const description = `HTTP service discovery. Servers register, send heartbeats, and leave or are swept; consumers discover them.

Every error is RFC 9457 problem+json with a \`code\` of one closed list. Times are ISO 8601 by the clock of Redis.
Every answer names its request in \`X-Request-Id\`.`;

const SECURITY = [{ apiToken: [] }, { bearer: [] }];
const READ_SECURITY = [...SECURITY, { session: [] }];

function securityOf({ config, method }: RouteOptions) {
  if (config?.access === 'public') return [];
  return [method].flat().includes('GET') ? READ_SECURITY : SECURITY;
}

/** Collects every route registered after it into one OpenAPI 3.1 document. */
export async function installOpenapi(app: FastifyInstance) {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'Rollcall', version, description, license: { name: 'MIT', identifier: 'MIT' } },
      servers: [{ url: '/', description: 'This gateway' }],
      tags: [
        { name: 'instances', description: 'Register, discover, change, remove' },
        { name: 'heartbeats', description: 'Keep a lease' },
        { name: 'watch', description: 'Follow changes, and look back at them' },
        { name: 'locks', description: 'One at a time, by name' },
        { name: 'operations', description: 'For those who run it' },
      ],
      components: {
        securitySchemes: {
          apiToken: { type: 'apiKey', in: 'header', name: 'X-API-Token' },
          bearer: { type: 'http', scheme: 'bearer' },
          session: { type: 'apiKey', in: 'cookie', name: SESSION_COOKIE, description: 'Set by createSession; for reading only' },
        },
      },
    },
    transform: ({ schema, url, route }) => ({
      schema: { ...withParameters(schema ?? {}, route.config?.headers), security: securityOf(route) },
      url,
    }),
    transformObject: (document) => asGenerated('openapiObject' in document ? document.openapiObject : {}),
    refResolver: { buildLocalReference: (json, _base, _fragment, i) => (typeof json.$id === 'string' ? json.$id : `Schema${i}`) },
  });
}

interface Operation {
  parameters?: Parameters<typeof styleParameter>[0][];
  requestBody?: Body;
}
type Body = { required?: boolean; content: Record<string, { schema?: { anyOf?: { type?: string }[] } }> };

/** What the plugin cannot say of parameters, bodies and enums, said. */
function asGenerated<T extends object>(document: T): T {
  typeEnums(document);
  for (const operations of Object.values((document as { paths?: Record<string, Record<string, Operation>> }).paths ?? {})) {
    for (const { parameters, requestBody } of Object.values(operations)) {
      parameters?.forEach(styleParameter);
      if (requestBody) sayWhetherNeeded(requestBody);
    }
  }
  return document;
}

/** JSON Schema needs no `type` beside an `enum`; generators for typed languages do. All of ours are words. */
function typeEnums(node: object) {
  if ('enum' in node && !('type' in node)) Object.assign(node, { type: 'string' });
  for (const child of Object.values(node) as unknown[]) if (typeof child === 'object' && child !== null) typeEnums(child);
}

/** A body that may be null is one that may be left out: the document should say so in its own words. */
function sayWhetherNeeded(body: Body) {
  for (const media of Object.values(body.content)) {
    const given = media.schema?.anyOf?.filter(({ type }) => type !== 'null');
    if (given?.length !== 1 || given.length === media.schema?.anyOf?.length) continue;
    media.schema = given[0] as object;
    body.required = false;
  }
}
