#!/usr/bin/env node
// The command line. What needs a newer Node.js is imported only where there is one: see node-version.ts.
import { isNewEnough } from './node-version.js';

const serve = () => {
  process.argv.splice(2, 1); // what is left is the gateway's
  return import('./main.js').then(() => undefined);
};
if (isNewEnough()) void import('./cli/main.js').then(({ main }) => main(process.argv.slice(2), serve));
