// Written so that an old Node.js understands it, and imports nothing: one that is too old would otherwise end with the stack of the first thing that it
// does not know.

/** Says so, and sets the exit code, when this Node.js is too old. */
export function isNewEnough(): boolean {
  const parts = process.versions.node.split('.');
  const [major, minor] = [Number(parts[0]), Number(parts[1])];
  if (major > 20 || (major === 20 && minor >= 19)) return true;
  process.stderr.write(`Rollcall needs Node.js 20.19 or newer, and this is ${process.version}: install a newer one from https://nodejs.org/en/download\n`);
  process.exitCode = 1;
  return false;
}
