import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import { FrameParser, openWatch, type Frame } from '../helpers/sse.js';
import { until } from '../helpers/until.js';
import { WatchLog, type StreamEntry, type WatchLogOptions } from '../helpers/watch-log.js';

/** Splits a text into frames, given to the parser in pieces of this many characters. */
function parse(text: string, size = Infinity) {
  const frames: { event: string; id?: string; data: string }[] = [];
  const parser = new FrameParser(({ event, id, data }) => frames.push({ event, data, ...(id !== undefined && { id }) }));
  for (let at = 0; at < text.length; at += size) parser.push(text.slice(at, at + size));
  return { frames, parser };
}

const CASES: [name: string, text: string, frames: { event?: string; id?: string; data: string }[]][] = [
  ['a frame ends with an empty line', 'data: a\n\ndata: b\n', [{ data: 'a' }]],
  ['LF, CRLF and CR end lines alike', 'data: a\n\ndata: b\r\n\r\ndata: c\r\rdata: d\r\n\n', ['a', 'b', 'c', 'd'].map((data) => ({ data }))],
  ['CRLF is one end of line, not two', 'data: a\r\ndata: b\r\n\r\n', [{ data: 'a\nb' }]],
  ['an event has a name', 'event: bookmark\ndata: a\n\ndata: b\n\n', [{ event: 'bookmark', data: 'a' }, { data: 'b' }]],
  ['data of several lines is joined', 'data: a\ndata\ndata:  b\n\n', [{ data: 'a\n\n b' }]],
  ['a field without colon is empty', 'data\n\n', [{ data: '' }]],
  ['only one space is dropped', 'data:a\n\ndata: a\n\ndata:  a\n\n', [{ data: 'a' }, { data: 'a' }, { data: ' a' }]],
  ['without data there is no frame', 'event: reset\n\nid: 1\n\n\n\ndata: a\n\n', [{ data: 'a' }]],
  ['comments and unknown fields are no frames', ': hi\nwhat: ever\n:\n\ndata: a\n\n', [{ data: 'a' }]],
  ['a value may hold colons', 'data: a: b\nid: e.5-1:x\n\n', [{ data: 'a: b', id: 'e.5-1:x' }]],
  ['an id with NUL is ignored', 'id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n', [{ id: '1', data: 'a' }, { data: 'b' }]],
  ['an id may be empty', 'id\ndata: a\n\n', [{ id: '', data: 'a' }]],
];

describe('frames', () => {
  test.each(CASES)('%s, in pieces of any size', (_name, text, frames) => {
    const expected = frames.map((frame) => ({ event: 'message', ...frame }));
    for (const size of [Infinity, 1, 2, 3, 7]) expect(parse(text, size).frames, `in pieces of ${size}`).toEqual(expected);
  });

  test.each([
    ['id: 1\ndata: a\n\ndata: b\n\n', '1'],
    ['id: 1\ndata: a\n\nid\ndata: b\n\n', ''],
    ['id: 1\n\n', '1'],
    ['id: 1\ndata: a\n\nid: 2\ndata: b\n', '1'],
    ['id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n', '1'],
  ])('after %j the last event id is %j', (text, id) => expect(parse(text).parser.lastEventId).toBe(id));

  test('retry counts when it is digits only, and comments are counted', () => {
    const { parser } = parse('retry: 3000\n: a\n\nretry: 1.5\nretry: x\nretry\n:b\n');
    expect([parser.retry, parser.comments, parser.partial]).toEqual([3000, 2, false]);
    expect(parse('data: a\n').parser.partial).toBe(true);
  });
});

type Handler = (response: ServerResponse, request: IncomingMessage) => unknown;

async function serve(handle: Handler): Promise<string> {
  const server = createServer((request, response) => void handle(response, request));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/watch?type=game`;
}

const stream = (response: ServerResponse) => response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });

describe('the client', () => {
  test('bytes may come one by one, with a byte order mark and characters of several bytes', async () => {
    const bytes = Buffer.from('\uFEFFretry: 50\nid: 1\nevent: snapshot\ndata: {"a":"\u20ac\u{1f600}"}\r\n\r\n');
    const url = await serve(async (response) => {
      stream(response).flushHeaders();
      for (const byte of bytes) {
        response.write(Buffer.of(byte));
        await turn();
      }
      response.end();
    });
    const watch = openWatch(url);
    expect(await watch.ended).toEqual({ clean: true, by: 'server' });
    expect([watch.frames.length, watch.frames[0]?.event, watch.frames[0]?.json(), watch.retry, watch.lastEventId]).toEqual([1, 'snapshot', { a: '\u20ac\u{1f600}' }, 50, '1']);
  });

  test('it sends what it is told, and Last-Event-ID only when there is one', async () => {
    const url = await serve((response, { headers }) => stream(response).end(`data: ${JSON.stringify(headers)}\n\n`));
    const frame = await openWatch(url, { headers: { 'x-api-token': 't' }, lastEventId: 'e.5-1' }).next();
    expect(frame.json()).toMatchObject({ accept: 'text/event-stream', 'x-api-token': 't', 'last-event-id': 'e.5-1' });
    expect((await openWatch(url).next()).json()).not.toHaveProperty('last-event-id');
  });

  test('what is no event stream is kept as a body', async () => {
    const url = await serve((response) => response.writeHead(401, { 'content-type': 'application/problem+json' }).end('data: {}\n\n'));
    const watch = openWatch(url);
    await watch.opened;
    await watch.ended;
    expect([watch.status, watch.headers['content-type'], watch.body, watch.frames]).toEqual([401, 'application/problem+json', 'data: {}\n\n', []]);
  });

  test.each<[string, boolean, Handler]>([
    ['the answer is finished', true, (response) => stream(response).end('data: a\n\n')],
    ['the answer is finished within a frame', false, (response) => stream(response).end('data: a\n\ndata: b\n')],
    ['the connection is destroyed', false, (response) => stream(response).write('data: a\n\n', () => response.destroy())],
  ])('when %s it ended cleanly: %s', async (_name, clean, handle) => {
    const watch = openWatch(await serve(handle));
    expect(await watch.ended).toMatchObject({ clean, by: 'server' });
    expect(watch.frames.map(({ data }) => data)).toEqual(['a']);
    await expect(watch.next(({ data }) => data === 'b')).rejects.toThrow('the stream has ended');
  });

  test('no server: it never opens, and has ended', async () => {
    const watch = openWatch('http://127.0.0.1:1/');
    await expect(watch.opened).rejects.toThrow('ECONNREFUSED');
    expect(await watch.ended).toMatchObject({ clean: false, error: { code: 'ECONNREFUSED' } });
  });

  test('a cut holds at once: what stands in the same piece is not delivered', async () => {
    let closed = false;
    const url = await serve((response) => {
      response.on('close', () => (closed = true));
      stream(response).write('id: 1\ndata: a\n\nid: 2\ndata: b\n\nid: 3\ndata: c\n\n');
    });
    const watch = openWatch(url, { onFrame: ({ id }, self) => id === '2' && self.cut() });
    expect(await watch.ended).toMatchObject({ clean: false, by: 'client' });
    expect([watch.frames.map(({ id }) => id), watch.lastEventId]).toEqual([['1', '2'], '2']);
    await until(() => closed);

    const early = openWatch(url);
    early.cut();
    await expect(early.opened).rejects.toThrow();
    expect(await early.close()).toMatchObject({ clean: false, by: 'client' });
  });

  test('next goes on behind the frame it gave, in the past or the future, and says what it waited for', async () => {
    let send: (text: string) => void = () => undefined;
    const watch = openWatch(await serve((response) => void (send = (text) => stream(response).write(text))));
    await until(() => send.length === 1);
    const first = watch.next(({ data }) => data === 'b');
    const second = watch.next(({ data }) => data === 'b');
    send('data: a\n\ndata: b\n\ndata: c\n\ndata: b\n\ndata: d\n\n');
    expect(await first).toBe(watch.frames[1]);
    expect(await second).toBe(watch.frames[3]);
    expect((await watch.next()).data).toBe('d');
    await expect(watch.next(({ data }) => data === 'a', 20)).rejects.toThrow(/not within 20 ms.*data === .a.*5 in all/);
    const failing = watch.next(({ data }) => data === 'z');
    watch.cut();
    await expect(failing).rejects.toThrow('the stream ended');
  });

  test('who pauses makes the server wait, and then misses nothing', async () => {
    const [size, count] = [256 * 1024, 128];
    let [sent, stuck] = [0, false];
    const url = await serve(async (response) => {
      stream(response).flushHeaders();
      for (; sent < count; sent++) {
        if (response.write(`id: ${sent}\ndata: ${'x'.repeat(size)}\n\n`)) continue;
        stuck = true;
        await new Promise((resolve) => response.once('drain', resolve));
        stuck = false;
      }
      response.end();
    });
    const watch = openWatch(url);
    watch.pause();
    await watch.opened;
    let before = -1;
    await until(() => stuck && before === (before = sent), 5000, 100);
    expect([sent < count, watch.frames.length]).toEqual([true, 0]);
    watch.resume();
    expect(await watch.ended).toEqual({ clean: true, by: 'server' });
    expect(watch.frames.map(({ id }) => Number(id))).toEqual(Array.from({ length: count }, (_, i) => i));
  });
});

const at = (n: number | string) => (typeof n === 'number' ? `e.5-${n}` : n);
const of = (instanceId: string, group = 'kr-1') => ({ instanceId, incarnation: 'life-1', type: 'game', group });
type Told = Frame | 'connect';

const told = (event: string, body: object | string, id?: string): Frame => {
  const data = typeof body === 'string' ? body : JSON.stringify(body);
  return { event, data, at: 0, json: <T>() => JSON.parse(data) as T, ...(id !== undefined && { id }) };
};
const event = (kind: string, n: number | string, instance: object, more: object = {}) => told(kind, { instance, revision: at(n), ...more }, at(n));
const bookmark = (n: number | string) => told('bookmark', { revision: at(n) }, at(n));
const snapshot = (n: number | string, ...ids: string[]) => told('snapshot', { instances: ids.map((id) => of(id)), revision: at(n) }, at(n));
const part = (n: number, ...ids: string[]) => told('snapshot', { instances: ids.map((id) => of(id)), revision: at(n), more: true });
const reset = told('reset', { reason: 'trimmed' });

function logOf(frames: Told[], asked: WatchLogOptions = { type: 'game', group: 'kr-1' }): WatchLog {
  const log = new WatchLog(asked);
  log.connect();
  for (const frame of frames) {
    if (frame === 'connect') log.connect();
    else log.accept(frame);
  }
  return log;
}

const entry = (n: number | string, kind: string, instanceId: string, group = 'kr-1'): StreamEntry => ({ revision: at(n), kind, instanceId, type: 'game', group });
const TRUTH = [
  entry(1, 'registered', 'a'), entry(2, 'registered', 'b'), entry(3, 'registered', 'x', 'us-1'), entry(4, 'updated', 'a'),
  entry(5, 'registered', 'b', 'us-1'), entry(6, 'expired', 'a'), entry(7, 'registered', 'c'), entry(8, 'removed', 'x', 'us-1'), entry(9, 'updated', 'c'),
];
const [START, UPDATE, MOVE, END, NEW, LAST] = [
  snapshot(3, 'a', 'b'), event('updated', 4, of('a')), event('removed', 5, of('b'), { cause: 'moved' }), event('expired', 6, of('a')),
  event('registered', 7, of('c')), event('updated', 9, of('c')),
] as const;

describe('the log of a watch', () => {
  test.each<[string, Told[]]>([
    ['told in one piece', [START, UPDATE, MOVE, END, NEW, LAST]],
    ['resumed twice', [START, UPDATE, 'connect', MOVE, END, 'connect', bookmark(6), NEW, LAST]],
    ['with bookmarks, others and what is unknown', [START, bookmark(3), UPDATE, told('performance', {}), MOVE, told('news', '?'), END, bookmark(6), NEW, bookmark(8), LAST, bookmark(9)]],
    ['cut within a snapshot', [part(3, 'a'), 'connect', part(3, 'a'), snapshot(3, 'b'), UPDATE, MOVE, END, NEW, LAST]],
    ['reset, cut, and resumed from before', [START, UPDATE, 'connect', reset, part(6), 'connect', MOVE, END, NEW, LAST]],
    ['reset to a later snapshot', [START, 'connect', reset, snapshot(7, 'c'), LAST]],
    ['an empty snapshot first', [snapshot('e.0-0'), event('registered', 1, of('a')), event('registered', 2, of('b')), UPDATE, MOVE, END, NEW, LAST]],
  ])('%s, it is right and ends in the same picture', (_name, frames) => {
    const log = logOf(frames);
    expect(log.violations(TRUTH)).toEqual([]);
    expect([[...log.instances.keys()], log.lastEventId, log.behind(TRUTH)]).toEqual([['c'], at(9), 0]);
  });

  test.each<[string, Told[], StreamEntry[]?]>([
    ['Filter: updated x of game:us-1', [START, event('updated', 4, of('x', 'us-1'))]],
    ['Filter: snapshot x of chat:kr-1', [told('snapshot', { instances: [{ ...of('x'), type: 'chat' }], revision: at(3) }, at(3))]],
    ['Filter: removed x e.5-8', [snapshot(7, 'c'), event('removed', 8, of('x', 'us-1'), { cause: 'moved' })], TRUTH],
    ['Ordered: updated a e.5-4 after 5-5', [START, MOVE, UPDATE]],
    ['Ordered: snapshot  e.5-3 after 5-4', [START, UPDATE, 'connect', reset, START]],
    ['Ordered: bookmark  e.5-3 after 5-4', [START, UPDATE, bookmark(3)]],
    ['Ordered: updated a e.5-4 is of an epoch left before', [START, reset, snapshot('f.1-1'), UPDATE]],
    ['Unique: updated a e.5-4 came before', [START, UPDATE, 'connect', UPDATE]],
    ['Unique: registered a e.5-3 is in the snapshot', [START, event('registered', 3, of('a'))]],
    ['Unique: a twice in the snapshot', [part(3, 'a'), snapshot(3, 'a')]],
    ['Reliable: updated a e.5-4 was not sent before removed b e.5-5', [START, MOVE], TRUTH],
    ['Reliable: removed b e.5-5 was not sent before expired a e.5-6', [START, UPDATE, END], TRUTH],
    ['Reliable: the snapshot e.5-3 lacks b', [snapshot(3, 'a')], TRUTH],
    ['Reliable: the snapshot e.5-7 holds a', [snapshot(7, 'a', 'c')], TRUTH],
    ['Reliable: updated a e.5-4 is in the stream as updated b', [START, UPDATE], TRUTH.map((each) => (each.revision === at(4) ? { ...each, instanceId: 'b' } : each))],
    ['Reliable: updated a e.5-4 is in the stream as registered a', [START, UPDATE], TRUTH.map((each) => (each.revision === at(4) ? { ...each, kind: 'registered' } : each))],
    ['Reliable: updated a e.4-9 is not in the stream', [snapshot('e.4-1', 'a', 'b'), event('updated', 'e.4-9', of('a'))], TRUTH],
    ['Resumable: removed b e.5-5 was not sent before expired a e.5-6', [START, UPDATE, 'connect', END], TRUTH],
    ['Resumable: a snapshot without reset', [START, 'connect', snapshot(6)]],
    ['Resumable: updated a f.1-1 without reset', [START, 'connect', event('updated', 'f.1-1', of('a'))]],
    ['Bookmarkable: updated a e.5-4 after a bookmark', [START, bookmark(4), UPDATE]],
    ['Bookmarkable: updated a e.5-4 was not sent before bookmark', [START, bookmark(4)], TRUTH],
    ['Contract: updated e.5-4: before a whole snapshot', [part(3, 'a'), UPDATE]],
    ['Contract: updated e.5-4: before a whole snapshot', [START, reset, UPDATE]],
    ['Contract: snapshot e.5-6: a second snapshot', [START, snapshot(6)]],
    ['Contract: snapshot e.5-3: only the last part', [told('snapshot', { instances: [], revision: at(3), more: true }, at(3))]],
    ['Contract: snapshot : only the last part', [told('snapshot', { instances: [], revision: at(3) })]],
    ['Contract: snapshot e.5-3: 1001 instances', [snapshot(3, ...Array.from({ length: 1001 }, (_, i) => `i-${i}`))]],
    ['Contract: updated e.5-5: its id is not its revision', [START, told('updated', { instance: of('a'), revision: at(4) }, at(5))]],
    ['Contract: updated : its id is not its revision', [START, told('updated', { instance: of('a'), revision: 'e.x' })]],
    ['Contract: updated e.5-4: has no instance', [START, told('updated', { revision: at(4) }, at(4))]],
    ['Contract: performance e.5-4: has an id', [START, told('performance', {}, at(4))]],
    ['Contract: expired e.5-4: Unexpected end of JSON', [START, told('expired', '[', at(4))]],
  ])('%s', (broken, frames, truth) => {
    const violations = logOf(frames).violations(truth);
    expect(violations.filter((each) => each.startsWith(broken)), violations.join('\n')).toHaveLength(1);
  });

  test('positions are compared as numbers, and only within an epoch', () => {
    const log = logOf([snapshot('e.9-9'), event('registered', 'e.9-10', of('a')), event('updated', 'e.10-2', of('a')), bookmark('f.1-0'), event('updated', 'f.1-4294967296', of('a'))]);
    expect([log.violations(), log.epochs, log.counts]).toEqual([[], ['e', 'f'], { snapshot: 1, registered: 1, updated: 2, bookmark: 1 }]);
  });

  test('without a filter a move is one registration, and a lapse may hide an instance from a snapshot only if it is said to', () => {
    const moved = logOf([snapshot(4, 'a', 'b', 'x'), event('registered', 5, of('b', 'us-1')), END], {});
    expect([moved.violations(TRUTH), moved.instances.get('b')?.group, moved.behind(TRUTH)]).toEqual([[], 'us-1', 3]);
    expect(logOf([snapshot(4, 'b'), MOVE, END], { group: 'kr-1', lapses: true }).violations(TRUTH)).toEqual([]);
  });

  test('a log may begin at a position', () => {
    expect(logOf([END, NEW, LAST], { group: 'kr-1', lastEventId: at(5) }).violations(TRUTH)).toEqual([]);
    expect(logOf([NEW, LAST], { group: 'kr-1', lastEventId: at(5) }).violations(TRUTH)).toEqual([expect.stringContaining('Resumable: expired a')]);
  });
});
