import { createSocket } from 'node:dgram';

/** A name server on a free loopback port that answers every question for A records with these addresses. */
export async function startDns(addresses: () => string[]) {
  const socket = createSocket('udp4');
  socket.on('message', (query, { port, address }) => {
    let end = 12;
    for (let size = query[end] ?? 0; size > 0; size = query[end] ?? 0) end += size + 1;
    const question = query.subarray(12, end + 5); // the name's closing zero, type and class
    const isA = question.readUInt16BE(question.length - 4) === 1;
    const records = isA ? addresses().map((ip) => Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, ...ip.split('.').map(Number)])) : [];
    const head = Buffer.from([query[0] ?? 0, query[1] ?? 0, 0x84, 0, 0, 1, 0, records.length, 0, 0, 0, 0]);
    socket.send(Buffer.concat([head, question, ...records]), port, address);
  });
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  return { port: socket.address().port, stop: () => new Promise<void>((resolve) => socket.close(resolve)) };
}
