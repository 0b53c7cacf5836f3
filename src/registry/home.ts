/** The group an instance lives in. */
export interface Home {
  type: string;
  group: string;
}

export const homeKey = ({ type, group }: Home) => `${type}:${group}`;
