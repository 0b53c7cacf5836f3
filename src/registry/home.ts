/** The group an instance lives in. */
export interface Home {
  type: string;
  group: string;
}

/** The home that a key of `homeKey` names. */
export function homeOfKey(key: string): Home {
  const [type = '', group = ''] = key.split(':');
  return { type, group };
}

export const homeKey = ({ type, group }: Home) => `${type}:${group}`;

export const compareNames = (one: string, other: string) => (one < other ? -1 : one > other ? 1 : 0);

/** By type, then group. Not as one text: 'a-b:x' would come before 'a:x'. */
export const compareHomes = (one: Home, other: Home) => compareNames(one.type, other.type) || compareNames(one.group, other.group);
