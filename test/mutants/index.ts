import { client } from './client.js';
import { gateway } from './gateway.js';
import type { Mutant } from './mutant.js';
import { registry } from './registry.js';
import { scripts } from './scripts.js';
import { store } from './store.js';

export type { Mutant } from './mutant.js';

export const mutants: Mutant[] = [...scripts, ...store, ...registry, ...gateway, ...client];

export const editsOf = ({ find, replace, also = [] }: Mutant) => [{ find, replace }, ...also];
