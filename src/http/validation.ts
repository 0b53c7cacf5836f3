import { Ajv, type Options } from 'ajv';
import type { FastifyInstance, FastifySchema, FastifySchemaValidationError } from 'fastify';
import { formatRules, formats, LABEL_KEY_PATTERN, NAME_PATTERN, type FieldError } from '../contract/index.js';
import { sharedSchemas } from './schemas.js';

/** Containers within a value, itself included. */
function depthOf(value: unknown, limit: number): number {
  if (typeof value !== 'object' || value === null) return 0;
  if (limit === 0) return 1; // deep enough to be refused: a hostile body does not make us recurse
  let deepest = 0;
  for (const key in value) deepest = Math.max(deepest, depthOf((value as Record<string, unknown>)[key], limit - 1));
  return 1 + deepest;
}

function createAjv(options: Options): Ajv {
  const ajv = new Ajv({ allErrors: false, removeAdditional: false, useDefaults: true, strict: false, ...options });
  ajv.addKeyword({
    keyword: 'x-max-depth',
    type: 'object',
    validate: (max: number, value: object) => depthOf(value, max) <= max,
    errors: false,
  });
  ajv.addKeyword({
    keyword: 'x-max-bytes',
    type: 'object',
    validate: (max: number, value: object) => Buffer.byteLength(JSON.stringify(value)) <= max,
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

const NAME_RULE = 'must be 1 to 63 letters, digits, dots, underscores or hyphens, the first a letter or digit';
const PATTERN_RULES: Record<string, string> = {
  [NAME_PATTERN]: NAME_RULE,
  [LABEL_KEY_PATTERN]: `${NAME_RULE}, or slashes`,
};

/** Each failed rule with the place it failed at and, where the schema can tell, what would be right. */
export function fieldErrors(failures: FastifySchemaValidationError[], context = 'body'): FieldError[] {
  // A union reports the failure of each branch and then of itself. The branch that got deepest knows best, and one that
  // refused the value itself knows more than one that wanted another type.
  const own = failures.filter(({ keyword }) => keyword !== 'anyOf');
  const deepest = Math.max(...own.map(({ instancePath }) => instancePath.length));
  const near = own.filter(({ instancePath }) => instancePath.length === deepest);
  const precise = near.filter(({ keyword }) => keyword !== 'type');
  return (precise.length > 0 ? precise : near).map((failure) => ({ pointer: pointerOf(failure, context), detail: ruleOf(failure) }));
}

const parameter = (value: unknown) => (typeof value === 'string' ? value : '');

function pointerOf({ instancePath, keyword, params }: FastifySchemaValidationError, context: string): string {
  const missing = keyword === 'required' ? parameter(params.missingProperty) : keyword === 'additionalProperties' ? parameter(params.additionalProperty) : '';
  const path = missing ? `${instancePath}/${missing.replaceAll('~', '~0').replaceAll('/', '~1')}` : instancePath;
  if (context === 'querystring') return `?${path.slice(1)}`;
  if (context === 'params') return `/{${path.slice(1)}}`;
  return path;
}

function ruleOf({ keyword, params, message = 'is not valid' }: FastifySchemaValidationError): string {
  switch (keyword) {
    case 'required':
      return 'is required';
    case 'additionalProperties':
      return 'is not a known field';
    case 'enum':
      return `must be one of ${(params.allowedValues as unknown[]).join(', ')}`;
    case 'format':
      return formatRules[parameter(params.format) as keyof typeof formatRules] ?? message;
    case 'pattern':
      return PATTERN_RULES[parameter(params.pattern)] ?? message;
    case 'x-max-depth':
      return 'is nested more than 8 deep';
    case 'x-max-bytes':
      return 'is too large as JSON';
    default:
      return message;
  }
}
