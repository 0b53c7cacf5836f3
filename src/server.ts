// The entry of the gateway. What needs a newer Node.js is imported only where there is one: see node-version.ts.
import { isNewEnough } from './node-version.js';

if (isNewEnough()) void import('./main.js');
