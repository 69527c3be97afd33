// Outside JSON is `unknown` until a function of this file has named it.

/** JSON from outside is not what it should be; says where. */
export class DecodeError extends Error {
  override readonly name = 'DecodeError';
  constructor(
    readonly path: string,
    expected: string,
  ) {
    super(`${path || 'the answer'} is not ${expected}`);
  }
}

export type Json = Readonly<Record<string, unknown>>;

export function record(value: unknown, path = ''): Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new DecodeError(path, 'an object');
  return value as Json;
}

export function text(from: Json, key: string): string {
  const value = from[key];
  if (typeof value !== 'string') throw new DecodeError(key, 'text');
  return value;
}

export function optionalText(from: Json, key: string): string | undefined {
  return from[key] === undefined || from[key] === null ? undefined : text(from, key);
}

export function integer(from: Json, key: string): number {
  const value = from[key];
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) throw new DecodeError(key, 'an integer');
  return value;
}

export function list(from: Json, key: string): readonly unknown[] {
  const value = from[key];
  if (!Array.isArray(value)) throw new DecodeError(key, 'a list');
  return value;
}
