#!/usr/bin/env node
// The command line. It imports nothing by a statement, and is written so that an old Node.js understands it: see server.ts.
export {};

const parts = process.versions.node.split('.');
const [major, minor] = [Number(parts[0]), Number(parts[1])];
if (major < 20 || (major === 20 && minor < 19)) {
  process.stderr.write(`Rollcall needs Node.js 20.19 or newer, and this is ${process.version}: install a newer one from https://nodejs.org/en/download\n`);
  process.exitCode = 1;
} else {
  const serve = () => {
    process.argv.splice(2, 1); // what is left is the gateway's
    return import('./main.js').then(() => undefined);
  };
  void import('./cli/main.js').then(({ main }) => main(process.argv.slice(2), serve));
}
