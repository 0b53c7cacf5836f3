/** Patterns a token is limited to: `*` stands for any run of characters. Absent means no limit. */
export interface Scope {
  types?: string[];
  groups?: string[];
}

const compiled = new Map<string, RegExp>();

function matches(pattern: string, value: string): boolean {
  let regex = compiled.get(pattern);
  if (!regex) {
    const source = pattern.split('*').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
    regex = new RegExp(`^${source.join('.*')}$`);
    compiled.set(pattern, regex);
  }
  return regex.test(value);
}

const allows = (patterns: string[] | undefined, value: string) =>
  patterns === undefined || patterns.some((pattern) => matches(pattern, value));

export const inScope = (scope: Scope | undefined, home: { type: string; group: string }) =>
  scope === undefined || (allows(scope.types, home.type) && allows(scope.groups, home.group));
