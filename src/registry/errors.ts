import type { FieldError, ProblemCode } from '../contract/index.js';

/** What a registry refuses, by its stable code. It knows no HTTP status: `http/problems/problems.ts` maps codes. */
export class RegistryError extends Error {
  constructor(
    readonly code: ProblemCode,
    message: string,
    readonly details: { errors?: FieldError[]; instanceId?: string; incarnation?: string; cause?: unknown; /** The store's, where it refused. */ epoch?: string } = {},
  ) {
    super(message, { cause: details.cause });
    this.name = 'RegistryError';
  }
}

export const invalidField = (pointer: string, detail: string) =>
  new RegistryError('invalid_request', `${pointer} ${detail}`, { errors: [{ pointer, detail }] });
