/** A value as JSON.parse gives it holds each key once: it has fewer keys than its text when one is given twice, however that is written. */
function keysOf(value: unknown): number {
  let keys = 0;
  const open = [value];
  while (open.length > 0) {
    const next = open.pop();
    if (typeof next !== 'object' || next === null) continue;
    const isList = Array.isArray(next);
    for (const key in next) {
      if (!isList) keys++;
      const inner = (next as Record<string, unknown>)[key];
      if (typeof inner === 'object') open.push(inner);
    }
  }
  return keys;
}

const [QUOTE, BACKSLASH, COMMA, LIST, LIST_END, OBJECT, OBJECT_END] = [34, 92, 44, 91, 93, 123, 125];
/** An object of more keys than this is read ten times as slowly, so each further key counts as some. */
const NARROW = 128;
const WIDE_COUNTS = 8;

/** Texts are looked through by letters up to here, for most are short; then by leaps to the next quote. */
const SHORT_TEXT = 32;

/** Where the text whose first letter stands here ends: the place of its quote. */
function endOfBytes(json: Buffer, begin: number): number {
  for (let [i, leapsFrom] = [begin, begin + SHORT_TEXT]; i < json.length; i++) {
    if (json[i] === BACKSLASH) i++;
    else if (json[i] === QUOTE) return i;
    else if (i >= leapsFrom) {
      const quote = json.indexOf(QUOTE, i);
      if (quote < 0) break;
      let slashes = 0; // counted once each: the next leap begins behind this quote
      while (json[quote - 1 - slashes] === BACKSLASH) slashes++;
      if (slashes % 2 === 0) return quote;
      [i, leapsFrom] = [quote, quote + SHORT_TEXT];
    }
  }
  return json.length;
}

/** Whether JSON holds more values than this, by its commas and brackets outside of texts: reading it would take long, and nothing of it has been read. */
export function holdsMoreThan(most: number, json: Buffer): boolean {
  if (json.length * WIDE_COUNTS <= most) return false;
  const open: number[] = []; // commas of each open object; -Infinity for a list
  let [values, commas] = [1, -Infinity];
  for (let i = 0; i < json.length; i++) {
    const letter = json[i];
    if (letter === QUOTE) {
      i = endOfBytes(json, i + 1);
    } else if (letter === COMMA) {
      values += ++commas > NARROW ? WIDE_COUNTS : 1;
      if (values > most) return true;
    } else if (letter === LIST || letter === OBJECT) {
      if (++values > most) return true;
      open.push(commas);
      commas = letter === LIST ? -Infinity : 0;
    } else if (letter === LIST_END || letter === OBJECT_END) commas = open.pop() ?? -Infinity;
  }
  return false;
}

/** Where the text that begins at a quote ends. Backslashes before a quote are counted once: those of the next lie behind it. */
function endOfText(json: string, begin: number): number {
  for (let end = json.indexOf('"', begin + 1); end >= 0; end = json.indexOf('"', end + 1)) {
    let slashes = 0;
    while (json.charCodeAt(end - 1 - slashes) === BACKSLASH) slashes++;
    if (slashes % 2 === 0) return end;
  }
  return json.length;
}

function afterBlanks(json: string, at: number): number {
  while (json.charCodeAt(at) <= 32) at++;
  return at;
}

/** How many keys JSON text names: texts with a colon behind them. */
function keysIn(json: string): number {
  let keys = 0;
  for (let begin = json.indexOf('"'); begin >= 0; ) {
    const end = endOfText(json, begin);
    if (json[afterBlanks(json, end + 1)] === ':') keys++;
    begin = json.indexOf('"', end + 1);
  }
  return keys;
}

interface Container {
  keys: Set<string> | undefined;
  /** The key, or the place in the list, that is being read. */
  at: string | number;
}

/**
 * The path of the first key that an object of this JSON text has twice, as a pointer; undefined without one. RFC 8259 section 4
 * leaves open what such an object means, so it is nothing that should be guessed. `value` is what the text was parsed to:
 * as a rule a count of its keys answers, and the text is read by its letters only to say where.
 */
export function keyGivenTwice(json: string, value: unknown): string | undefined {
  if (keysIn(json) === keysOf(value)) return undefined;
  const path: Container[] = [];
  for (let i = 0; i < json.length; i++) {
    const letter = json[i];
    const inner = path.at(-1);
    if (letter === '{' || letter === '[') path.push(letter === '{' ? { keys: new Set(), at: '' } : { keys: undefined, at: 0 });
    else if (letter === '}' || letter === ']') path.pop();
    else if (letter === ',' && typeof inner?.at === 'number') inner.at++;
    else if (json.charCodeAt(i) === QUOTE) {
      const end = endOfText(json, i);
      if (inner?.keys && json[afterBlanks(json, end + 1)] === ':') {
        inner.at = JSON.parse(json.slice(i, end + 1)) as string;
        if (inner.keys.has(inner.at)) return pointerOf(path);
        inner.keys.add(inner.at);
      }
      i = end;
    }
  }
  return undefined;
}

const pointerOf = (path: Container[]) => path.map(({ at }) => `/${String(at).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
