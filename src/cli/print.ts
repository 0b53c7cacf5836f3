import { styleText } from 'node:util';
import type { Instance } from '../contract/index.js';

export interface Screen {
  write: (text: string) => unknown;
  isTTY?: boolean;
  columns?: number;
}

type Colour = 'green' | 'blue' | 'yellow' | 'red' | 'gray' | 'bold';
const COLOURS: Record<string, Colour> = { ready: 'green', initializing: 'blue', shutting_down: 'yellow', error: 'red', registered: 'green', restored: 'green', updated: 'blue', removed: 'yellow', expired: 'red', held: 'red', yes: 'green', no: 'red' };

/** Only on a terminal, and not where NO_COLOR is set (https://no-color.org). */
export const isColoured = ({ isTTY }: Screen, noColour: string | undefined) => isTTY === true && !noColour;

/** Text that came from others: what could move the cursor or change colours is left out. */
const plain = (text: string) => text.replace(/[\p{Cc}\p{Cf}]/gu, ' ');

/** Columns as wide as what is in them. The first row is the heads. */
export function table(rows: readonly (readonly string[])[], coloured: boolean): string {
  const cells = rows.map((row) => row.map(plain));
  const widths = cells.reduce<number[]>((most, row) => row.map((cell, i) => Math.max(most[i] ?? 0, cell.length)), []);
  const line = (row: string[], isHead: boolean) => {
    const padded = row.map((cell, i) => {
      const text = i === row.length - 1 ? cell : cell.padEnd(widths[i] as number);
      const colour = isHead ? 'bold' : COLOURS[cell];
      return coloured && colour ? styleText(colour, text, { validateStream: false }) : text;
    });
    return padded.join('  ').trimEnd();
  };
  return `${cells.map((row, i) => line(row, i === 0)).join('\n')}\n`;
}

/** `12s`, `4m`, `3h`, `2d`. */
export function age(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)}m`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)}h` : `${Math.floor(seconds / 86_400)}d`;
}

const portsOf = ({ ports }: Instance) => ports.map(({ port, name, protocol }) => `${name === undefined ? '' : `${name}:`}${port}${protocol === 'tcp' ? '' : `/${protocol}`}`).join(',');
const stateOf = ({ status, cordoned, suspect, departed }: Instance) => (departed ? departed.kind : `${status}${cordoned ? ' cordoned' : ''}${suspect ? ' suspect' : ''}`);

/** Instances as a table, with what a person looks for first. */
export function instancesTable(instances: readonly Instance[], nowMs: number, coloured: boolean): string {
  const rows = instances.map((one) => [one.instanceId, one.type, one.group, stateOf(one), one.privateIp ?? one.publicIp ?? one.hostname, portsOf(one) || '-', age(nowMs - Date.parse(one.lastHeartbeat)), one.customState ?? '']);
  return table([['INSTANCE', 'TYPE', 'GROUP', 'STATUS', 'ADDRESS', 'PORTS', 'BEAT', 'STATE'], ...rows], coloured);
}
