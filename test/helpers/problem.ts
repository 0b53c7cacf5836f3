import { expect } from 'vitest';

/** What supertest and `exchange` both give. */
export interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: unknown;
}

const INSIDE = /\bat \S+ \(|\.[jt]s:\d+|node_modules|node:internal|ioredis|EVALSHA|@user_script/i;

/** Every refusal has one shape, names its request, and says nothing of the inside. */
export function expectProblem(answer: Answer, status: number, code: string, pointer?: string) {
  const problem = answer.body as { requestId: string; errors?: { pointer: string; detail: string }[] };
  expect([answer.status, answer.body]).toMatchObject([status, { status, code }]);
  expect(answer.headers['content-type']).toBe('application/problem+json; charset=utf-8');
  expect(problem).toEqual({
    type: `urn:rollcall:problem:${code}`,
    title: expect.stringMatching(/\S/) as string,
    status,
    detail: expect.stringMatching(/\S/) as string,
    code,
    requestId: expect.stringMatching(/^[A-Za-z0-9._-]{1,64}$/) as string,
    ...(problem.errors && { errors: expect.any(Array) as unknown[] }),
    ...('instanceId' in problem && { instanceId: expect.any(String) as string, incarnation: expect.any(String) as string }),
  });
  const named = answer.headers['x-request-id'];
  if (named !== undefined) expect(problem.requestId).toBe(named);
  if (pointer !== undefined) expect(problem.errors?.map((error) => error.pointer)).toContain(pointer);
  if (status === 401) expect(answer.headers['www-authenticate']).toMatch(/^Bearer /);
  if (status === 405) expect(answer.headers.allow).toMatch(/^[A-Z, ]+$/);
  if (status === 429 || status === 503) expect(Number(answer.headers['retry-after'])).toBeGreaterThanOrEqual(1);
  expect(JSON.stringify(problem)).not.toMatch(INSIDE);
}
