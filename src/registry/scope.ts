/** Patterns a token is limited to: `*` stands for any run of characters. Absent means no limit. */
export interface Scope {
  types?: string[];
  groups?: string[];
}

/** In linear time, unlike a regular expression with many `.*`: the value is the caller's to choose. */
function matches(pattern: string, value: string): boolean {
  const [first = '', ...rest] = pattern.split('*');
  const last = rest.pop();
  if (last === undefined) return value === pattern;
  if (!value.startsWith(first) || value.length < first.length + last.length || !value.endsWith(last)) return false;
  let at = first.length;
  for (const part of rest) {
    at = value.indexOf(part, at);
    if (at < 0) return false;
    at += part.length;
  }
  return at <= value.length - last.length;
}

/** Whether one of these patterns means this name; `undefined` means all. */
export const allows = (patterns: string[] | undefined, value: string) =>
  patterns === undefined || patterns.some((pattern) => matches(pattern, value));

/** What a question is limited to. */
interface Asked {
  type?: string;
  group?: string;
  scope?: Scope;
}

/** Whether a question is about this home. */
export const asksFor = ({ type, group, scope }: Asked, home: { type: string; group: string }) =>
  (type ?? home.type) === home.type && (group ?? home.group) === home.group && inScope(scope, home);

export const inScope = (scope: Scope | undefined, home: { type: string; group: string }) =>
  scope === undefined || (allows(scope.types, home.type) && allows(scope.groups, home.group));
