import { Ajv, type Options } from 'ajv';
import type { FastifyInstance, FastifySchema, FastifySchemaValidationError } from 'fastify';
import { formatRules, formats, patternRules, type FieldError } from '../contract/index.js';
import { sharedSchemas } from './schemas.js';

/** Containers within a value, itself included. A number that JSON cannot write (1e999 is read as Infinity) is too deep by itself. */
function depthOf(value: unknown, limit: number): number {
  if (typeof value === 'number' && !Number.isFinite(value)) return Infinity;
  if (typeof value !== 'object' || value === null) return 0;
  if (limit === 0) return 1; // deep enough to be refused: a hostile body does not make us recurse
  let deepest = 0;
  for (const key in value) deepest = Math.max(deepest, depthOf((value as Record<string, unknown>)[key], limit - 1));
  return 1 + deepest;
}

/** Deeper than the schema allows, and refused as such: JSON.stringify would run out of stack on it. */
const MAX_STRINGIFIED_DEPTH = 64;

function createAjv(options: Options): Ajv {
  const ajv = new Ajv({ allErrors: true, removeAdditional: false, useDefaults: true, strict: false, ...options });
  ajv.addKeyword({
    keyword: 'x-max-depth',
    type: 'object',
    validate: (max: number, value: object) => depthOf(value, max) <= max,
    errors: false,
  });
  ajv.addKeyword({
    keyword: 'x-max-bytes',
    type: 'object',
    validate: (max: number, value: object) => depthOf(value, MAX_STRINGIFIED_DEPTH) > MAX_STRINGIFIED_DEPTH || Buffer.byteLength(JSON.stringify(value)) <= max,
    errors: false,
  });
  for (const [name, validate] of Object.entries(formats)) ajv.addFormat(name, validate);
  for (const schema of sharedSchemas) ajv.addSchema(schema);
  return ajv;
}

/**
 * Bodies are taken as they are: nothing is coerced, unknown fields are refused. Query and path are text, so numbers and
 * booleans are read from it; a repeated query parameter is a list, and fails as such.
 */
export function installValidation(app: FastifyInstance) {
  const strict = createAjv({ coerceTypes: false });
  const reading = createAjv({ coerceTypes: true });
  app.setValidatorCompiler<FastifySchema>(({ schema, httpPart }) => (httpPart === 'body' ? strict : reading).compile(schema));
}

const MAX_ERRORS = 20;

const within = (path: string, outer: string) => path === outer || path.startsWith(`${outer}/`);

/**
 * Every failed rule with the place it failed at and, where the schema can tell, what would be right. A union reports the
 * failures of each branch and then its own: the branch that got deepest knows best, and one that refused the value itself
 * knows more than one that wanted another type.
 */
export function fieldErrors(failures: FastifySchemaValidationError[], context = 'body'): FieldError[] {
  const unions = failures.filter(({ keyword }) => keyword === 'anyOf').map(({ instancePath }) => instancePath);
  const branches = failures.filter(({ keyword }) => keyword !== 'anyOf');
  const told = branches.filter(({ instancePath }) => !unions.some((union) => within(instancePath, union)));
  for (const union of unions.filter((path) => !unions.some((outer) => outer !== path && within(path, outer)))) {
    told.push(...bestOf(branches.filter(({ instancePath }) => within(instancePath, union))));
  }
  return told.slice(0, MAX_ERRORS).map((failure) => ({ pointer: pointerOf(failure, context), detail: ruleOf(failure, context) }));
}

function bestOf(failures: FastifySchemaValidationError[]) {
  const deepest = Math.max(...failures.map(({ instancePath }) => instancePath.length));
  const near = failures.filter(({ instancePath }) => instancePath.length === deepest);
  const precise = near.filter(({ keyword }) => keyword !== 'type');
  return precise.length > 0 ? precise : near;
}

const parameter = (value: unknown) => (typeof value === 'string' ? value : '');

function pointerOf({ instancePath, keyword, params }: FastifySchemaValidationError, context: string): string {
  const missing = keyword === 'required' ? parameter(params.missingProperty) : keyword === 'additionalProperties' ? parameter(params.additionalProperty) : '';
  const path = missing ? `${instancePath}/${missing.replaceAll('~', '~0').replaceAll('/', '~1')}` : instancePath;
  if (context === 'querystring') return `?${path.slice(1)}`;
  if (context === 'params') return `/{${path.slice(1)}}`;
  return path;
}

function ruleOf({ keyword, params, message = 'is not valid' }: FastifySchemaValidationError, context: string): string {
  switch (keyword) {
    case 'required':
      return 'is required';
    case 'additionalProperties':
      return context === 'querystring' ? 'is not a known parameter' : 'is not a known field';
    case 'minProperties':
      return 'must name at least one field';
    case 'enum':
      return `must be one of ${(params.allowedValues as unknown[]).join(', ')}`;
    case 'format':
      return formatRules[parameter(params.format) as keyof typeof formatRules] ?? message;
    case 'pattern':
      return patternRules[parameter(params.pattern)] ?? message;
    case 'type':
      return context === 'querystring' ? `${message.replace('boolean', 'true or false')}, given once` : message;
    case 'x-max-depth':
      return 'is nested more than 8 deep, or holds a number too large for JSON';
    case 'x-max-bytes':
      return 'is too large as JSON';
    default:
      return message;
  }
}
