import type { FastifySchema } from 'fastify';
import { Type, type TSchema } from 'typebox';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Headers that the route reads, for the document: each is optional, and the route itself says what is wrong with it. */
    headers?: Record<string, TSchema>;
  }
}

const header = (description: string) => Type.Optional(Type.String({ description }));

export const conditionalHeaders = {
  'If-None-Match': header('The `ETag` of the answer you have: 304 while the content is the same'),
  Prefer: header('With `If-None-Match`: `wait=30` lets the answer wait up to 30 seconds (at most 60) for another content'),
};
export const resumeHeaders = { 'Last-Event-ID': header('The last `id` you were told: what came after it, instead of a snapshot') };

const everywhere = {
  'X-Request-Id': Type.Optional(Type.String({
    pattern: '^[A-Za-z0-9._-]{1,64}$',
    description: 'A name for this request in the logs; the answer repeats it, whatever its status. Without one it gets one',
  })),
};

/** A route's schema as the document shows it: with its headers, and with objects of the query that the validator knows only by their keys. */
export function withParameters(schema: FastifySchema, headers: Record<string, TSchema> = {}): FastifySchema {
  const querystring = schema.querystring as { properties?: object; 'x-objects'?: object } | undefined;
  const objects = querystring?.['x-objects'];
  return {
    ...schema,
    ...(objects && { querystring: { ...querystring, properties: { ...querystring.properties, ...objects } } }),
    headers: Type.Object({ ...headers, ...everywhere }),
  };
}

interface Parameter {
  in: string;
  schema?: { type?: string; pattern?: string; maxLength?: number; 'x-list-of'?: string[] };
  style?: string;
  explode?: boolean;
}

/**
 * How a list and an object of the query are written on the wire, which is not what OpenAPI would suppose. Of an object without
 * an example Swagger UI sends one of its own making.
 */
export function styleParameter(parameter: Parameter) {
  const { schema } = parameter;
  const values = schema?.['x-list-of'];
  if (values) Object.assign(parameter, { style: 'form', explode: false, schema: { type: 'array', items: { type: 'string', enum: values } } });
  else if (parameter.in === 'query' && schema?.type === 'object') Object.assign(parameter, { style: 'deepObject', explode: true, example: {} });
}
