import { Ajv, type Options } from 'ajv';
import type { FastifyInstance, FastifySchema, FastifySchemaValidationError } from 'fastify';
import { formats, jsonRules } from '../../contract/index.js';
import { sharedSchemas } from '../schemas.js';

function createAjv(options: Options): Ajv {
  const ajv = new Ajv({ removeAdditional: false, useDefaults: true, strict: false, coerceTypes: false, ...options });
  for (const [keyword, validate] of Object.entries(jsonRules)) ajv.addKeyword({ keyword, type: 'object', validate, errors: false });
  for (const [name, validate] of Object.entries(formats)) ajv.addFormat(name, validate);
  for (const schema of sharedSchemas) ajv.addSchema(schema);
  return ajv;
}

/** Every failure is looked for only where no more values than this can fail. */
const MAX_TOLD_VALUES = 1000;

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
