import type { ServiceDefinition } from '@grpc/grpc-js';

export interface Coupon {
  code: string;
  by?: string;
}

const bytesOf = (value: Coupon) => Buffer.from(JSON.stringify(value));
const read = (bytes: Buffer) => JSON.parse(bytes.toString()) as Coupon;

/** A service by hand, to have no .proto file here; with one, grpc-js makes the same. */
export const coupons = {
  redeem: { path: '/shop.Coupons/Redeem', requestStream: false, responseStream: false, requestSerialize: bytesOf, requestDeserialize: read, responseSerialize: bytesOf, responseDeserialize: read },
} satisfies ServiceDefinition;
