// A file of its own, loaded on demand: a browser has none of it.
export { readFile, rename, writeFile } from 'node:fs/promises';
