import { expect, test } from 'vitest';
import { isAdopted, next, type Stage, type Step } from '../../src/redis/follow/stage.js';

const STAGES: Stage[] = ['empty', 'loading', 'following', 'restoring'];
const STEPS: Step[] = ['begun', 'complete', 'lost', 'restored', 'unfit'];
const thenOf = (stage: Stage, step: Step) => {
  try {
    return next(stage, step);
  } catch {
    return '-';
  }
};

test('a follower goes from stage to stage as written here, and a step that cannot follow is an error', () => {
  expect(Object.fromEntries(STAGES.map((stage) => [stage, STEPS.map((step) => thenOf(stage, step)).join(' ')]))).toEqual({
    //          begun   complete  lost      restored  unfit
    empty: 'loading - - - -',
    loading: '- following - - empty',
    following: '- - restoring following empty',
    restoring: '- - restoring following empty',
  });
  expect(() => next('loading', 'lost')).toThrow('a follower that is loading cannot become lost');
});

test('the view answers from what a follower has read once that is complete, whatever Redis lacks', () => {
  expect(STAGES.filter(isAdopted)).toEqual(['following', 'restoring']);
});
