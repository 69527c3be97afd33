// The calls of the home server that the client makes, with their answers read into types.

import { list, optionalText, record, text } from './decode';
import { call, json, post, Refused } from './http';

export interface ServerInfo {
  readonly server: string;
  readonly version: string;
  /** `open`, `invite`, `closed`, or a word of a later version. */
  readonly registration: string;
  readonly sigServerUrl: string;
  /** The server's clock, ms since 1970. */
  readonly timeMs: number;
}

/** What the server says about a handle; its word, not the key's. */
export interface HandleRecord {
  readonly handle: string;
  readonly fqhn: string;
  readonly primary: string;
  readonly registeredAt: string;
}

export async function serverInfo(): Promise<ServerInfo> {
  const from = record(await json('/v1/server'));
  return {
    server: text(from, 'server'),
    version: text(from, 'version'),
    registration: text(from, 'registration'),
    sigServerUrl: optionalText(from, 'sig_server_url') ?? '',
    timeMs: Date.parse(text(from, 'time')),
  };
}

export function byHandle(handle: string): Promise<HandleRecord | undefined> {
  return found(`/v1/u/${encodeURIComponent(handle)}`);
}

export function byPrimary(primary: string): Promise<HandleRecord | undefined> {
  return found(`/v1/by-primary/${encodeURIComponent(primary)}`);
}

/** A person of any server: this one asks theirs. */
export function resolve(address: string): Promise<HandleRecord | undefined> {
  return found(`/v1/resolve?resource=${encodeURIComponent(address)}`);
}

export async function register(envelope: string, invite: string | undefined): Promise<HandleRecord> {
  return handleRecord(
    await post('/v1/register', envelope, invite === undefined ? {} : { 'kez-invite': invite }),
  );
}

export async function enrol(envelope: string): Promise<void> {
  await post('/v1/devices', envelope);
}

export async function revoke(envelope: string): Promise<void> {
  await post('/v1/devices/revoke', envelope);
}

/** The envelopes of a person's devices. Not believed yet. */
export async function devices(handle: string): Promise<readonly string[]> {
  const from = record(await json(`/v1/u/${encodeURIComponent(handle)}/devices`));
  return list(from, 'devices').map((device) => {
    const entry = record(device, 'devices');
    const envelope = entry['envelope'] ?? entry;
    return typeof envelope === 'string' ? envelope : JSON.stringify(envelope);
  });
}

const chainPath = (primary: string) => `/v1/sigchains/ed25519/${primary.replace(/^ed25519:/, '')}`;

/** A person's sigchain as JSON lines; empty when there is none, `undefined` when this server keeps no chains. */
export async function chain(primary: string): Promise<string | undefined> {
  try {
    return await (await call(chainPath(primary))).text();
  } catch (error) {
    if (error instanceof Refused && error.status === 404) return '';
    throw error;
  }
}

export async function appendToChain(primary: string, event: string): Promise<void> {
  await post(chainPath(primary), event);
}

async function found(path: string): Promise<HandleRecord | undefined> {
  try {
    return handleRecord(await json(path));
  } catch (error) {
    if (error instanceof Refused && error.status === 404) return undefined;
    throw error;
  }
}

function handleRecord(answer: unknown): HandleRecord {
  const from = record(answer);
  return {
    handle: text(from, 'handle'),
    fqhn: text(from, 'fqhn'),
    primary: text(from, 'primary'),
    registeredAt: text(from, 'registered_at'),
  };
}
