import { Set as setFormat } from 'typebox/format';
import { Check, Errors } from 'typebox/schema';
import { fieldErrors, formats, Heartbeat, InstanceParams, InstancePatch, inWords, jsonRules, LockParams, LockRequest, Registration, type Failure } from '../../contract/index.js';
import type { Beat } from '../../registry/registry.js';
import { RollcallError } from '../base/errors.js';

for (const [name, check] of Object.entries(formats)) setFormat(name, check);

/** Of an object. */
interface Schema {
  properties: object;
}
const rules = Object.entries(jsonRules);

/** The validator here tells of several fields in one failure, and of some twice; in the gateway each failure is of one. */
function asOfOne(failure: Failure): Failure[] {
  const { requiredProperties = [], additionalProperties = [] } = failure.params as { requiredProperties?: string[]; additionalProperties?: string[] };
  switch (failure.keyword) {
    case 'boolean': // says again that a field is unknown
      return [];
    case 'required':
      return requiredProperties.map((missingProperty) => ({ ...failure, params: { missingProperty } }));
    case 'additionalProperties':
      return additionalProperties.map((additionalProperty) => ({ ...failure, params: { additionalProperty } }));
    default:
      return [{ ...failure, message: failure.message?.replace(/^must not/, 'must NOT') ?? 'is not valid' }];
  }
}

/** What JSON Schema has no words for, of the fields that have such a rule. */
function* ownFailures({ properties }: Schema, value: Record<string, unknown>): Generator<Failure> {
  for (const [field, schema] of Object.entries(properties as Record<string, Record<string, unknown>>)) {
    for (const [keyword, isRight] of rules) {
      const max = schema[keyword];
      if (typeof max === 'number' && typeof value[field] === 'object' && !isRight(max, value[field])) yield { keyword, instancePath: `/${field}`, params: {} };
    }
  }
}

/** What a gateway checks before it writes, straight to Redis is checked here. @throws {RollcallError} invalid_request, with the fields at fault. */
function check(schema: Schema, value: unknown, context = 'body') {
  const isObject = typeof value === 'object' && value !== null;
  const own = isObject ? [...ownFailures(schema, value as Record<string, unknown>)] : [];
  if (own.length === 0 && Check(schema, value)) return;
  const failures = (Errors(schema, value)[1] as unknown as Failure[]).flatMap(asOfOne);
  const errors = fieldErrors([...failures, ...own], context);
  throw new RollcallError('invalid_request', inWords(errors), { errors });
}

const checkId = (id: unknown) => check(InstanceParams, { id }, 'params');

export const checks = {
  registration: (registration: unknown) => check(Registration, registration),
  patch: (patch: unknown) => check(InstancePatch, patch),
  id: checkId,
  /** Its id comes by itself, as in the path of a gateway's. */
  beat: ({ instanceId, home: _home, ...beat }: Beat) => {
    checkId(instanceId);
    check(Heartbeat, beat);
  },
  lock: (name: unknown, request: unknown) => {
    check(LockParams, { name }, 'params');
    check(LockRequest, request);
  },
};
