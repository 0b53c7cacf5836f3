import { formatRules } from './formats.js';
import { patternRules } from './names.js';
import type { FieldError } from './problem.js';

/** A rule of a schema that a value breaks, as validators of JSON Schema tell of it. */
export interface Failure {
  keyword: string;
  instancePath: string;
  params: Record<string, unknown>;
  message?: string;
}

const MAX_SHOWN = 100;

/** A caller's text as answers and logs may show it: at most 100 letters, without control characters. */
export const shown = (text: string) =>
  (text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}\u2026` : text).toWellFormed().replace(/[\u0000-\u001f\u007f]/g, '\ufffd');

/** The same as one sentence. */
export const inWords = (errors: FieldError[]) => errors.map(({ pointer, detail }) => `${pointer || 'body'} ${detail}`).join('; ');

/** Failures that are looked at to tell of the best. */
const MAX_FAILURES = 100;
const MAX_ERRORS = 20;

/**
 * Every failed rule with the place it failed at and, where the schema can tell, what would be right. A union reports the
 * failures of each branch and then its own: the branch that got deepest knows best, and one that refused the value itself
 * knows more than one that wanted another type.
 */
export function fieldErrors(failures: Failure[], context = 'body'): FieldError[] {
  const unions = new Set(failures.filter(({ keyword }) => keyword === 'anyOf').map(({ instancePath }) => instancePath));
  const told: Failure[] = [];
  const ofUnion = new Map<string, Failure[]>();
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

function bestOf(failures: Failure[]) {
  const deepest = Math.max(...failures.map(({ instancePath }) => instancePath.length));
  const near = failures.filter(({ instancePath }) => instancePath.length === deepest);
  const precise = near.filter(({ keyword }) => keyword !== 'type');
  if (precise.length > 0) return precise;
  return near.every(({ instancePath }) => instancePath === near[0]?.instancePath) ? [oneOfTypes(near)] : near;
}

/** Each branch wanted another type: what would be right is any of them. */
function oneOfTypes(failures: Failure[]): Failure {
  const types = [...new Set(failures.map(({ message = '' }) => message.replace('must be ', '')))];
  return { ...(failures[0] as Failure), message: `must be ${types.join(' or ')}` };
}

const parameter = (value: unknown) => (typeof value === 'string' ? value : '');

function pointerOf({ instancePath, keyword, params }: Failure, context: string): string {
  const missing = keyword === 'required' ? parameter(params.missingProperty) : keyword === 'additionalProperties' ? parameter(params.additionalProperty) : '';
  const name = shown(missing).replaceAll('~', '~0').replaceAll('/', '~1');
  const path = missing ? `${instancePath}/${name}` : instancePath;
  if (context === 'querystring') return `?${path.slice(1)}`;
  if (context === 'params') return `/{${path.slice(1)}}`;
  return path;
}

function ruleOf({ keyword, params, message = 'is not valid' }: Failure, context: string): string {
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
