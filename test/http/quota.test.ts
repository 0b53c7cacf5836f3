import { expect, test } from 'vitest';
import { CAPS, Quota } from '../../src/http/requests/quota.js';

const codeOf = (act: () => unknown) => {
  try {
    act();
  } catch (error) {
    return error as { code: string; message: string };
  }
  return undefined;
};

test.each(Object.keys(CAPS) as (keyof typeof CAPS)[])('one token has at most its share of %s, all together at most theirs, and what is over makes room', (kind) => {
  const quota = new Quota();
  const { perToken, overall } = CAPS[kind];
  const leave = Array.from({ length: perToken }, () => quota.enter([kind], 'a'));
  const refused = codeOf(() => quota.enter([kind], 'a'));
  expect(refused).toMatchObject({ code: 'rate_limited' });
  expect(refused?.message).toContain(`${perToken} ${CAPS[kind].what}`);
  for (let i = perToken; i < overall; i++) quota.enter([kind], `t-${Math.floor(i / perToken)}`);
  expect(codeOf(() => quota.enter([kind], 'z'))).toMatchObject({ code: 'overloaded' });
  leave[0]?.();
  expect(codeOf(() => quota.enter([kind], 'a'))).toBeUndefined();
});

test('what is refused for one of its kinds counts for none', () => {
  const quota = new Quota();
  for (let i = 0; i < CAPS.searchingPoll.perToken; i++) quota.enter(['poll', 'searchingPoll'], 'a');
  for (let i = 0; i < CAPS.poll.perToken; i++) expect(codeOf(() => quota.enter(['poll', 'searchingPoll'], 'a'))).toMatchObject({ code: 'rate_limited' });
  expect(codeOf(() => quota.enter(['poll'], 'a'))).toBeUndefined();
});
