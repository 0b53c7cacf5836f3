export * from './discovery.js';
export * from './events.js';
export * from './formats.js';
export * from './heartbeat.js';
export * from './hold.js';
export * from './instance.js';
export * from './names.js';
export * from './problem.js';
