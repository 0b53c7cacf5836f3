// Calls whichever coupon services there are, in turn: services that come, go and restart are followed without a line of code.
//   ROLLCALL_URL=http://127.0.0.1:3000 ROLLCALL_TOKEN=$(cat .rollcall/token) npx tsx examples/coupon-client.ts
import { credentials, makeGenericClientConstructor, type ServiceError } from '@grpc/grpc-js';
import { createClient } from 'rollcall';
import { registerResolver } from 'rollcall/grpc';
import { coupons, type Coupon } from './coupons.js';

const client = createClient();
registerResolver(client);
const Coupons = makeGenericClientConstructor(coupons, 'Coupons');
const stub = new Coupons('sd:///coupon?port=grpc', credentials.createInsecure(), {
  'grpc.service_config': JSON.stringify({ loadBalancingConfig: [{ round_robin: {} }] }),
});
type Redeem = (coupon: Coupon, options: { deadline: number }, reply: (error: ServiceError | null, coupon?: Coupon) => void) => void;
const redeem = stub.redeem as unknown as Redeem;

const timer = setInterval(() => {
  redeem.call(stub, { code: 'SUMMER' }, { deadline: Date.now() + 2000 }, (error, coupon) => console.log(error ? `failed: ${error.details}` : `redeemed by ${coupon?.by}`));
}, 500);
process.once('SIGTERM', () => {
  clearInterval(timer);
  stub.close();
  void client.close();
});
