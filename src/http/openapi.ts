import { createRequire } from 'node:module';
import swagger from '@fastify/swagger';
import type { FastifyInstance, RouteOptions } from 'fastify';
import { SESSION_COOKIE } from './session.js';

const { version } = createRequire(import.meta.url)('../../package.json') as { version: string };

const description = `HTTP service discovery. Servers register, send heartbeats, and leave or are swept; consumers discover them.

Every error is RFC 9457 problem+json with a \`code\` of one closed list. Times are ISO 8601 by the clock of Redis.`;

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
      schema: { ...schema, security: securityOf(route) },
      url,
    }),
    transformObject: (document) => withOptionalBodies('openapiObject' in document ? document.openapiObject : {}),
    refResolver: { buildLocalReference: (json, _base, _fragment, i) => (typeof json.$id === 'string' ? json.$id : `Schema${i}`) },
  });
}

type Document = { paths?: Record<string, Record<string, { requestBody?: Body }>> };
type Body = { required?: boolean; content: Record<string, { schema?: { anyOf?: { type?: string }[] } }> };

/** A body that may be null is one that may be left out: the document should say so in its own words. */
function withOptionalBodies<T extends object>(document: T): T {
  for (const operations of Object.values((document as Document).paths ?? {})) {
    for (const { requestBody } of Object.values(operations)) {
      for (const media of Object.values(requestBody?.content ?? {})) {
        const given = media.schema?.anyOf?.filter(({ type }) => type !== 'null');
        if (!requestBody || given?.length !== 1 || given.length === media.schema?.anyOf?.length) continue;
        media.schema = given[0] as object;
        requestBody.required = false;
      }
    }
  }
  return document;
}
