import { Ajv, type Options } from 'ajv';
import type { FastifyInstance, FastifySchema, FastifySchemaValidationError } from 'fastify';
import { formatRules, formats, patternRules, type FieldError } from '../contract/index.js';
import { shown } from './problems.js';
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
  const ajv = new Ajv({ removeAdditional: false, useDefaults: true, strict: false, coerceTypes: false, ...options });
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

/** Every failure is looked for only where no more values than this can fail. */
const MAX_TOLD_VALUES = 1000;
/** Failures that are looked at to tell of the best. */
const MAX_FAILURES = 100;

/** Whether a value holds at most so many values; looks at no more than that. */
function isSmall(value: unknown, most: number): boolean {
  const open = [value];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (typeof next !== 'object' || next === null) continue;
    for (const key in next) {
      if (--most < 0) return false;
      open.push((next as Record<string, unknown>)[key]);
    }
  }
  return true;
}

/** The values of a query that stand for a number or a boolean. A number is digits: not `1e2`, `0x10`, `+5` or ` 5`, which `Number` would take. */
function readTexts(texts: unknown, properties: Record<string, { type?: string }>) {
  const given = texts as Record<string, unknown>;
  for (const name in given) {
    const text = given[name];
    if (typeof text !== 'string' || !Object.hasOwn(properties, name)) continue;
    const { type } = properties[name] as { type?: string };
    if (type === 'integer' && /^[0-9]+$/.test(text)) given[name] = Number(text);
    if (type === 'boolean' && (text === 'true' || text === 'false')) given[name] = text === 'true';
  }
}

/** Shared by all applications of a process: each schema is compiled once. */
const [first, every] = [createAjv({}), createAjv({ allErrors: true })];

type Validate = ((value: unknown) => boolean) & { errors?: FastifySchemaValidationError[] };

/**
 * Bodies are taken as they are: nothing is converted, unknown fields are refused. Query and path are text, so numbers and booleans
 * are read from it; a repeated query parameter is a list, and fails as such.
 *
 * The first failure ends a check, and of a list or object that is too long that is the first, before anything in it is looked at. All
 * failures are told only where there is little that can fail: so a hostile body costs no more than a right one.
 */
export function installValidation(app: FastifyInstance) {
  app.setValidatorCompiler<FastifySchema & { properties?: Record<string, { type?: string }> }>(({ schema, httpPart }) => {
    const check = first.compile(schema);
    let checkAll: typeof check | undefined; // made when it is needed, which for most routes is never
    const validate: Validate = (value) => {
      if (httpPart !== 'body') readTexts(value, schema.properties ?? {});
      if (check(value)) return true;
      let { errors } = check;
      if (isSmall(value, MAX_TOLD_VALUES)) {
        checkAll ??= every.compile(schema);
        checkAll(value);
        errors = checkAll.errors ?? errors;
      }
      validate.errors = errors as FastifySchemaValidationError[];
      return false;
    };
    return validate;
  });
}

const MAX_ERRORS = 20;

/**
 * Every failed rule with the place it failed at and, where the schema can tell, what would be right. A union reports the
 * failures of each branch and then its own: the branch that got deepest knows best, and one that refused the value itself
 * knows more than one that wanted another type.
 */
export function fieldErrors(failures: FastifySchemaValidationError[], context = 'body'): FieldError[] {
  const unions = new Set(failures.filter(({ keyword }) => keyword === 'anyOf').map(({ instancePath }) => instancePath));
  const told: FastifySchemaValidationError[] = [];
  const ofUnion = new Map<string, FastifySchemaValidationError[]>();
  for (const failure of failures.filter(({ keyword }) => keyword !== 'anyOf').slice(0, MAX_FAILURES)) {
    const union = outermost(failure.instancePath, unions);
    if (union === undefined) told.push(failure);
    else ofUnion.set(union, [...(ofUnion.get(union) ?? []), failure]);
  }
  for (const branches of ofUnion.values()) told.push(...bestOf(branches));
  // A format and its pattern say the same.
  const errors = told.map((failure) => ({ pointer: pointerOf(failure, context), detail: ruleOf(failure, context) }));
  return [...new Map(errors.map((error) => [`${error.pointer} ${error.detail}`, error])).values()].slice(0, MAX_ERRORS);
}

/** The shortest path of these that a path lies in. */
function outermost(path: string, unions: Set<string>): string | undefined {
  for (let end = 0; end >= 0; end = path.indexOf('/', end + 1)) {
    if (unions.has(path.slice(0, end))) return path.slice(0, end);
  }
  return unions.has(path) ? path : undefined;
}

function bestOf(failures: FastifySchemaValidationError[]) {
  const deepest = Math.max(...failures.map(({ instancePath }) => instancePath.length));
  const near = failures.filter(({ instancePath }) => instancePath.length === deepest);
  const precise = near.filter(({ keyword }) => keyword !== 'type');
  if (precise.length > 0) return precise;
  return near.every(({ instancePath }) => instancePath === near[0]?.instancePath) ? [oneOfTypes(near)] : near;
}

/** Each branch wanted another type: what would be right is any of them. */
function oneOfTypes(failures: FastifySchemaValidationError[]): FastifySchemaValidationError {
  const types = [...new Set(failures.map(({ message = '' }) => message.replace('must be ', '')))];
  return { ...(failures[0] as FastifySchemaValidationError), message: `must be ${types.join(' or ')}` };
}

const parameter = (value: unknown) => (typeof value === 'string' ? value : '');

function pointerOf({ instancePath, keyword, params }: FastifySchemaValidationError, context: string): string {
  const missing = keyword === 'required' ? parameter(params.missingProperty) : keyword === 'additionalProperties' ? parameter(params.additionalProperty) : '';
  const name = shown(missing).replaceAll('~', '~0').replaceAll('/', '~1');
  const path = missing ? `${instancePath}/${name}` : instancePath;
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
      return message.replace('must NOT have more than', 'must have at most').replace('must NOT have fewer than', 'must have at least');
  }
}
