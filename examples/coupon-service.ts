// A gRPC microservice that others find by its name, and that leaves without a failed call. Run some, then coupon-client.ts:
//   ROLLCALL_URL=http://127.0.0.1:3000 ROLLCALL_TOKEN=$(cat .rollcall/token) npx tsx examples/coupon-service.ts
import { Server, ServerCredentials, type sendUnaryData, type ServerUnaryCall } from '@grpc/grpc-js';
import { createClient, join } from 'rollcall';
import { coupons, type Coupon } from './coupons.js';

const DRAIN_MS = 2000;
const server = new Server();
server.addService(coupons, {
  redeem: ({ request: { code } }: ServerUnaryCall<Coupon, Coupon>, reply: sendUnaryData<Coupon>) => reply(null, { code, by: me.instanceId }),
});
const port = await new Promise<number>((resolve, reject) => {
  server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) => (error ? reject(error) : resolve(bound)));
});

const client = createClient();
const me = join({ type: 'coupon', ports: [{ name: 'grpc', port }], privateIp: '127.0.0.1' }, client);
await me.registered;
console.log(`coupon service ${me.instanceId} on port ${port}`);

process.once('SIGTERM', () => {
  me.updateStatus('shutting_down'); // channels leave it, and calls under way end
  setTimeout(() => void me.leave().then(() => server.tryShutdown(() => void client.close())), DRAIN_MS);
});
