import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

interface Entry {
  version?: string;
  resolved?: string;
  integrity?: string;
  link?: boolean;
  dev?: boolean;
  engines?: { node?: string };
  optionalDependencies?: Record<string, string>;
}

const read = (name: string) => JSON.parse(readFileSync(new URL(`../${name}`, import.meta.url), 'utf8'));
const packages = (read('package-lock.json') as { packages: Record<string, Entry> }).packages;
const { dependencies, devDependencies } = read('package.json') as Record<'dependencies' | 'devDependencies', Record<string, string>>;

test('the lock file holds every optional package of every platform', () => {
  const missing = Object.entries(packages).flatMap(([place, { optionalDependencies = {} }]) =>
    Object.keys(optionalDependencies)
      .filter((name) => !packages[`node_modules/${name}`] && !packages[`${place}/node_modules/${name}`])
      .map((name) => `${place} -> ${name}`),
  );
  expect(Object.keys(packages).length).toBeGreaterThan(200);
  expect(missing).toEqual([]);
});

test('the lock file names no address to download from, and a checksum for each package', () => {
  const entries = Object.entries(packages).filter(([place, { link }]) => place !== '' && link !== true);
  expect(entries.filter(([, { resolved }]) => resolved !== undefined).map(([place]) => place)).toEqual([]);
  expect(entries.filter(([, { integrity }]) => !integrity?.startsWith('sha512-')).map(([place]) => place)).toEqual([]);
});

test('every direct dependency is pinned to one version, the one that is locked', () => {
  for (const [name, version] of Object.entries({ ...dependencies, ...devDependencies })) {
    expect(version, name).toMatch(/^\d+\.\d+\.\d+$/);
    expect(packages[`node_modules/${name}`]?.version, name).toBe(version);
  }
});

/** Of ranges such as `^20.19.0 || >=22`: whether one of them takes a Node 20. */
const takesNode20 = (range: string) =>
  range.split('||').some((part) => {
    const [, sign, major] = /(>=?|\^|~)?\s*v?(\d+|\*)/.exec(part) ?? [];
    return major === '*' || (sign?.startsWith('>') ? Number(major) <= 20 : Number(major) === 20);
  });

test('what production needs takes Node 20, by its own word: npm ci --omit=dev installs there with engine-strict', () => {
  const needed = Object.entries(packages).filter(([, { dev }]) => !dev);
  expect(needed.length).toBeGreaterThan(50);
  expect(needed.filter(([, { engines }]) => engines?.node !== undefined && !takesNode20(engines.node)).map(([place]) => place)).toEqual([]);
  expect(['>=22', '^18 || >=22', '>= 20.19', '^20', '*', '>=18 <25'].map(takesNode20)).toEqual([false, false, true, true, true, true]);
});

test('there is one ioredis', () => {
  const places = Object.keys(packages).filter((place) => place.endsWith('node_modules/ioredis'));
  expect(places).toEqual(['node_modules/ioredis']);
});
