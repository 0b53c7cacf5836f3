import { readFileSync } from 'node:fs';

/** A wrong request, of `bad-input.json`. */
export interface BadInput {
  name: string;
  method: string;
  path: string;
  /** Over those of a right request; null leaves one out. */
  headers?: Record<string, string | null>;
  /** These fields over those of a right registration. */
  with?: Record<string, unknown>;
  body?: unknown;
  raw?: string;
  /** Announced, and never sent. */
  contentLength?: number;
  status: number;
  code?: string;
  pointer?: string;
  /** What is said of it, where that once misled. */
  detail?: string;
  /** Looks wrong and is right: may write. */
  accepted?: boolean;
}

export const badInput = JSON.parse(readFileSync(new URL('../bad-input.json', import.meta.url), 'utf8')) as BadInput[];

/** `<<text*count>>` in the data stands for the text that many times. */
export const expand = (text: string) => text.replace(/<<(.+?)\*(\d+)>>/g, (_, part: string, count: string) => part.repeat(Number(count)));
