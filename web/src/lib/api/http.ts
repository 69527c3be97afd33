// Calls to the home server that served this page, and to nothing else.

import { record, optionalText } from './decode';

/** The server answered, and refused: decide by `code`. */
export class Refused extends Error {
  override readonly name = 'Refused';
  constructor(
    readonly status: number,
    readonly code: string,
    detail: string,
    readonly retryAfterS: number | undefined,
  ) {
    super(detail);
  }
}

/** No answer, or one that is not this server's. */
export class Unreachable extends Error {
  override readonly name = 'Unreachable';
}

const PATIENCE_MS = 15_000;

export async function call(path: string, init: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, { ...init, cache: 'no-store', signal: AbortSignal.timeout(PATIENCE_MS) });
  } catch (cause) {
    throw new Unreachable('no answer', { cause });
  }
  if (response.ok) return response;
  throw await refusal(response);
}

export async function json(path: string, init: RequestInit = {}): Promise<unknown> {
  const response = await call(path, init);
  try {
    return (await response.json()) as unknown;
  } catch (cause) {
    throw new Unreachable('the answer is not JSON', { cause });
  }
}

export function post(path: string, body: string, headers: Record<string, string> = {}): Promise<unknown> {
  return json(path, { method: 'POST', body, headers: { 'content-type': 'application/json', ...headers } });
}

async function refusal(response: Response): Promise<Error> {
  try {
    const body = record(await response.json());
    const code = optionalText(body, 'code');
    const after = Number.parseInt(response.headers.get('retry-after') ?? '', 10);
    if (code !== undefined) {
      return new Refused(
        response.status,
        code,
        optionalText(body, 'detail') ?? '',
        Number.isNaN(after) ? undefined : after,
      );
    }
  } catch {
    // Not a problem body: some other program answered.
  }
  return new Unreachable(`status ${response.status}`);
}
