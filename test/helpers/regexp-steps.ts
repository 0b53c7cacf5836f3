/**
 * A backtracking matcher that counts: how many letters a regular expression looks at before it knows. It knows what the expressions of
 * src are written with, and throws at anything else: an expression that it cannot read has to be read by a person.
 */
type Node =
  | { is: 'letter'; of: RegExp }
  | { is: 'edge'; of: '^' | '$' | '\\b' }
  | { is: 'all'; of: Node[] }
  | { is: 'any'; of: Node[] }
  | { is: 'repeat'; of: Node; min: number; max: number; lazy: boolean };

class Reader {
  #at = 0;
  constructor(
    private readonly source: string,
    private readonly flags: string,
  ) {}

  read(): Node {
    const branches = [this.#sequence()];
    while (this.#take('|')) branches.push(this.#sequence());
    return branches.length === 1 ? (branches[0] as Node) : { is: 'any', of: branches };
  }

  #take(text: string): boolean {
    if (!this.source.startsWith(text, this.#at)) return false;
    this.#at += text.length;
    return true;
  }

  #sequence(): Node {
    const of: Node[] = [];
    while (this.#at < this.source.length && !'|)'.includes(this.source[this.#at] as string)) of.push(this.#repeated(this.#atom()));
    return { is: 'all', of };
  }

  #atom(): Node {
    if (this.#take('(')) {
      if (!this.#take('?:') && this.source[this.#at] === '?') throw new Error(`a group that is not known: ${this.source}`);
      const inner = this.read();
      if (!this.#take(')')) throw new Error(`no end of a group: ${this.source}`);
      return inner;
    }
    for (const of of ['^', '$', '\\b'] as const) if (this.#take(of)) return { is: 'edge', of };
    const [letter = ''] = /^(?:\[(?:\\.|[^\]\\])*\]|\\u[0-9a-f]{4}|\\[^1-9kpPxB]|[^\\()|*+?])/i.exec(this.source.slice(this.#at)) ?? [];
    if (letter === '') throw new Error(`not known at ${this.#at}: ${this.source}`);
    this.#at += letter.length;
    return { is: 'letter', of: new RegExp(`^${letter}$`, this.flags.replace(/[^iu]/g, '')) };
  }

  #repeated(of: Node): Node {
    const [sign = '', min, comma, max] = /^(?:[*+?]|\{(\d+)(,?)(\d*)\})/.exec(this.source.slice(this.#at)) ?? [];
    if (sign === '') return of;
    this.#at += sign.length;
    const bounds: Record<string, [number, number]> = { '*': [0, Infinity], '+': [1, Infinity], '?': [0, 1] };
    const [least, most] = bounds[sign] ?? [Number(min), comma === '' ? Number(min) : max === '' ? Infinity : Number(max)];
    return { is: 'repeat', of, min: least, max: most, lazy: this.#take('?') };
  }
}

const PRINTABLE = Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i));

/** What a text must be made of to lead a matcher astray: letters that each repetition takes, after what leads to it. */
function baits(node: Node, alphabet: string[]): { before: string; pump: string }[] {
  const found: { before: string; pump: string }[] = [];
  const one = (part: Node): string => {
    if (part.is === 'letter') return [...alphabet, ...PRINTABLE].find((letter) => part.of.test(letter)) ?? '';
    if (part.is === 'any') return one(part.of[0] as Node);
    if (part.is === 'all') return part.of.map(one).join('');
    return part.is === 'repeat' ? one(part.of).repeat(Math.max(part.min, 1)) : '';
  };
  const walk = (part: Node, before: string) => {
    if (part.is === 'any') for (const branch of part.of) walk(branch, before);
    if (part.is === 'all') part.of.reduce((so, next) => (walk(next, so), so + one(next)), before);
    if (part.is === 'repeat') {
      for (const pump of new Set([one(part.of), ...alphabet.filter((letter) => takes(part.of, letter))])) found.push({ before, pump });
      walk(part.of, before);
    }
  };
  walk(node, '');
  return found;
}

const takes = (node: Node, letter: string): boolean =>
  node.is === 'letter' ? node.of.test(letter) : node.is === 'any' ? node.of.some((one) => takes(one, letter)) : node.is !== 'edge' && [node.of].flat().some((one) => takes(one, letter));

/** Letters looked at until the expression has matched at some place of the text or at none; stops counting at `most`. */
function stepsOf(node: Node, text: string, most: number): number {
  let steps = 0;
  const at = (part: Node, i: number, then: (i: number) => boolean): boolean => {
    if (steps > most) return true;
    switch (part.is) {
      case 'letter':
        steps++;
        return i < text.length && part.of.test(text[i] as string) && then(i + 1);
      case 'edge':
        return (part.of === '\\b' || (part.of === '^' ? i === 0 : i === text.length)) && then(i);
      case 'all': {
        const from = (n: number, place: number): boolean => (n === part.of.length ? then(place) : at(part.of[n] as Node, place, (next) => from(n + 1, next)));
        return from(0, i);
      }
      case 'any':
        return part.of.some((branch) => at(branch, i, then));
      case 'repeat': {
        const round = (count: number, place: number): boolean => {
          const more = () => count < part.max && at(part.of, place, (next) => (next > place || count < part.min) && round(count + 1, next));
          if (count < part.min) return more();
          return part.lazy ? then(place) || more() : more() || then(place);
        };
        return round(0, i);
      }
    }
  };
  for (let start = 0; start <= text.length; start++) if (at(node, start, () => true)) break;
  return steps;
}

const ALPHABET = [' ', '"', ';', ',', '\\', '=', '.', ':', '-', '/', '*', 'a', 'w', '0', '[', ']', '\t', '~', '\u00e9'];
const TAILS = ['', '\0', '"a"b"', ' ', ';'];
const LENGTH = 400;

/** The most steps that any hostile text of about 400 letters takes, for each letter of it. Linear: a small number, whatever the length. */
export function worstSteps({ source, flags }: RegExp): { perLetter: number; text: string } {
  const node = new Reader(source, flags).read();
  let worst = { perLetter: 0, text: '' };
  const every = [...baits(node, ALPHABET), ...ALPHABET.map((pump) => ({ before: '', pump }))].filter(({ pump }) => pump !== '');
  for (const { before, pump } of every) {
    for (const tail of TAILS) {
      const text = before + pump.repeat(Math.ceil(LENGTH / pump.length)) + tail;
      const perLetter = stepsOf(node, text, 200 * text.length) / text.length;
      if (perLetter > worst.perLetter) worst = { perLetter, text };
    }
  }
  return worst;
}
