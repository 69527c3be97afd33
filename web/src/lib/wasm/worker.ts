// The Worker that holds the keys. It alone loads the wasm, opens the vault and signs; ending it wipes them.

import * as home from '../api/home';
import { Refused, Unreachable } from '../api/http';
import { browserKey, fromSecret, open, seal, type Purpose } from '../vault/seal';
import * as vault from '../vault/vault';
import init, {
  checkPhrase,
  DeviceKeys,
  handleFault,
  Identity,
  parseAddress,
  readChain,
  readDevice,
  stretchPassphrase,
} from './pkg/kez_wasm';
import wasmUrl from './pkg/kez_wasm_bg.wasm?url';
import {
  Failed,
  type Account,
  type Answer,
  type LockHint,
  type LockSecret,
  type Name,
  type Operations,
  type Person,
  type Request,
} from './protocol';

/** The second choice of RFC 9106, section 4. */
const ARGON = { memoryKib: 64 * 1024, passes: 3 } as const;
/** The longest life of a device, in seconds. */
const DEVICE_SECONDS = 365 * 24 * 60 * 60;

const ready = init({ module_or_path: wasmUrl });
/** The seed's owner, from the first step of sign-up until the words are on paper. */
let draft: Identity | undefined;
/** The keys of this browser, while it is unlocked. */
let keys: DeviceKeys | undefined;
/** How far the server's clock is ahead of ours, ms. */
let skewMs = 0;

const now = () => Date.now() + skewMs;
const random = (length: number) => crypto.getRandomValues(new Uint8Array(length));

type Handlers = { readonly [N in Name]: (input: Operations[N]['in']) => Promise<Operations[N]['out']> };

const handlers: Handlers = {
  status: async () => {
    const record = await vault.load();
    if (!record) return { state: 'empty' };
    const state = keys ? 'open' : 'locked';
    return { state, account: account(record), lock: hint(record.lock) };
  },

  handleFault: async ({ handle }) => handleFault(handle),

  newKey: async () => {
    draft?.free();
    draft = Identity.fromSeed(random(32));
  },

  useWords: async ({ words }) => {
    checkPhrase(words);
    draft?.free();
    draft = Identity.fromPhrase(words);
    const found = await home.byPrimary(draft.primary);
    return found ? { primary: draft.primary, handle: found.handle } : { primary: draft.primary };
  },

  create: async ({ handle, server, secret, restored }) => {
    if (!draft) throw new Failed('no_key', 'there is no key yet');
    await meetClock();
    const identity = draft;
    const parts = { id: random(16), auth: random(32), mls: random(32), data: random(32) };
    const device = new DeviceKeys(parts.id, parts.auth, parts.mls);
    const { lock, sealing } = await newLock(secret);
    const sealAs = (purpose: Purpose, plain: Uint8Array<ArrayBuffer>) =>
      seal(sealing[purpose], purpose, identity.primary, plain);
    const plain = new Uint8Array(16 + 3 * 32);
    [parts.id, parts.auth, parts.mls, parts.data].reduce(
      (at, part) => (plain.set(part, at), at + part.length),
      0,
    );
    const seed = new Uint8Array(identity.seed());
    const record: vault.VaultRecord = {
      version: 1,
      handle,
      server,
      primary: identity.primary,
      deviceId: device.id,
      lock,
      seed: await sealAs('seed', seed),
      keys: await sealAs('keys', plain),
      pending: {
        ...(restored ? {} : { registration: identity.register(handle, server, now()) }),
        device: identity.enrol(device, server, now(), DEVICE_SECONDS),
        announce: true,
      },
      confirmed: restored,
    };
    for (const bytes of [seed, plain, parts.auth, parts.mls, parts.data]) bytes.fill(0);
    await vault.save(record);
    keys = device;
    return account(record);
  },

  // Each step is idempotent and noted when it is done, so an interrupted sign-up goes on where it was.
  settle: async ({ invite }) => {
    let record = await required();
    const done = async (pending: vault.VaultRecord['pending']) => {
      record = { ...record, pending };
      await vault.save(record);
    };
    const { registration, device, announce } = record.pending;
    if (registration !== undefined) {
      await home.register(registration, invite);
      await done({ ...(device === undefined ? {} : { device }), ...(announce ? { announce } : {}) });
    }
    if (device !== undefined) {
      await home.enrol(device);
      if (announce) await announceDevice(record.primary, device);
      await done({});
    }
    return account(record);
  },

  words: async ({ secret }) => {
    if (draft && secret === undefined) return draft.words();
    const record = await required();
    const identity = await openIdentity(record, secret ?? { kind: 'browser' });
    try {
      return identity.words();
    } finally {
      identity.free();
    }
  },

  confirm: async () => {
    const record = { ...(await required()), confirmed: true };
    await vault.save(record);
    draft?.free();
    draft = undefined;
    return account(record);
  },

  unlock: async ({ secret }) => {
    const record = await required();
    const key = await sealingKey(record.lock, secret, 'keys');
    const plain = await open(key, 'keys', record.primary, record.keys);
    if (!plain) throw new Failed('wrong_secret', 'the lock does not open');
    keys = new DeviceKeys(plain.slice(0, 16), plain.slice(16, 48), plain.slice(48, 80));
    plain.fill(0);
    // An interrupted sign-up needs the words and the key once more.
    if (!record.confirmed || record.pending.announce) draft = await openIdentity(record, secret);
    return account(record);
  },

  person: async ({ address }) => {
    const { handle, server } = parseAddress(address);
    const info = await home.serverInfo();
    const found = await (server === info.server ? home.byHandle(handle) : home.resolve(address));
    return found && person(found, server === info.server);
  },

  revoke: async ({ deviceId, secret }) => {
    await meetClock();
    const record = await required();
    const identity = await openIdentity(record, secret);
    try {
      const envelope = (await home.devices(record.handle)).find(
        (text) => readDevice(text).deviceId === deviceId,
      );
      await home.revoke(identity.revoke(deviceId, record.server, now()));
      if (envelope === undefined) return;
      const jsonl = await home.chain(record.primary);
      if (jsonl !== undefined)
        await home.appendToChain(record.primary, identity.announceRevocation(jsonl, envelope, now()));
    } finally {
      identity.free();
    }
  },

  forget: async () => {
    await vault.clear();
    keys?.free();
    keys = undefined;
  },
};

async function required(): Promise<vault.VaultRecord> {
  const record = await vault.load();
  if (!record) throw new Failed('forgotten', 'this browser keeps no account');
  return record;
}

/** The event that names this browser in the person's own chain. Another one may come first: read again, once. */
async function announceDevice(primary: string, device: string): Promise<void> {
  for (const attempt of [1, 2]) {
    const jsonl = await home.chain(primary);
    if (jsonl === undefined || !draft) return;
    try {
      await home.appendToChain(primary, draft.announceDevice(jsonl, device, now()));
      return;
    } catch (error) {
      if (!(error instanceof Refused) || error.status !== 409 || attempt === 2) throw error;
    }
  }
}

async function person(found: home.HandleRecord, isOurs: boolean): Promise<Person> {
  const mine = await vault.load();
  const base = {
    fqhn: found.fqhn,
    handle: found.handle,
    primary: found.primary,
    registeredAt: found.registeredAt,
    isMe: mine?.primary === found.primary,
  };
  if (!isOurs) return { ...base, devices: [], chain: 'elsewhere', subjects: [] };
  const [envelopes, jsonl] = await Promise.all([home.devices(found.handle), home.chain(found.primary)]);
  let chain: ReturnType<typeof readChain> | undefined;
  let verdict: Person['chain'] = 'none';
  if (jsonl) {
    try {
      chain = readChain(found.primary, jsonl);
      verdict = chain.primary === found.primary ? 'checked' : 'broken';
    } catch {
      verdict = 'broken';
    }
  }
  const devices = envelopes.map(readDevice).filter((device) => device.primary === found.primary);
  return {
    ...base,
    chain: verdict,
    ...(chain ? { keySince: chain.keySince } : {}),
    subjects: chain?.subjects.map(({ subject }) => subject) ?? [],
    devices: devices.map((device) => ({
      deviceId: device.deviceId,
      since: device.createdAt,
      expiresAt: device.expiresAt,
      isThisOne: device.deviceId === mine?.deviceId,
      isAnnounced:
        chain?.devices.some(
          (named) =>
            named.deviceId === device.deviceId &&
            named.certificateSha256 === device.certificateSha256 &&
            !named.revokedAt,
        ) ?? false,
    })),
  };
}

async function meetClock(): Promise<void> {
  const info = await home.serverInfo();
  skewMs = info.timeMs - Date.now();
  // A whole second is as exact as the server says it.
  if (Math.abs(skewMs) < 2000) skewMs = 0;
}

type Sealing = Readonly<Record<Purpose, CryptoKey>>;

async function newLock(secret: LockSecret): Promise<{ lock: vault.Lock; sealing: Sealing }> {
  switch (secret.kind) {
    case 'passphrase': {
      const lock = { kind: 'passphrase', salt: random(16), ...ARGON } as const;
      return { lock, sealing: await fromSecret(stretched(secret.passphrase, lock)) };
    }
    case 'passkey': {
      const lock = { kind: 'passkey', credentialId: secret.credentialId, salt: secret.salt } as const;
      return { lock, sealing: await fromSecret(secret.output) };
    }
    case 'browser': {
      const key = await browserKey();
      return { lock: { kind: 'browser', key }, sealing: { seed: key, keys: key } };
    }
  }
}

async function sealingKey(lock: vault.Lock, secret: LockSecret, purpose: Purpose): Promise<CryptoKey> {
  if (lock.kind === 'browser') return lock.key;
  if (lock.kind === 'passphrase' && secret.kind === 'passphrase') {
    return (await fromSecret(stretched(secret.passphrase, lock)))[purpose];
  }
  if (lock.kind === 'passkey' && secret.kind === 'passkey')
    return (await fromSecret(new Uint8Array(secret.output)))[purpose];
  throw new Failed('wrong_secret', 'the lock wants another kind of secret');
}

function stretched(
  passphrase: string,
  lock: { salt: Uint8Array; memoryKib: number; passes: number },
): Uint8Array<ArrayBuffer> {
  // The same characters may be typed composed or not.
  return new Uint8Array(
    stretchPassphrase(passphrase.normalize('NFC'), lock.salt, lock.memoryKib, lock.passes),
  );
}

async function openIdentity(record: vault.VaultRecord, secret: LockSecret): Promise<Identity> {
  const key = await sealingKey(record.lock, secret, 'seed');
  const seed = await open(key, 'seed', record.primary, record.seed);
  if (!seed) throw new Failed('wrong_secret', 'the lock does not open');
  try {
    return Identity.fromSeed(seed);
  } finally {
    seed.fill(0);
  }
}

function account(record: vault.VaultRecord): Account {
  const { handle, server, primary, deviceId, confirmed, pending } = record;
  return {
    handle,
    server,
    primary,
    deviceId,
    confirmed,
    settled: pending.registration === undefined && pending.device === undefined,
  };
}

function hint(lock: vault.Lock): LockHint {
  return lock.kind === 'passkey'
    ? { kind: 'passkey', credentialId: lock.credentialId, salt: lock.salt }
    : { kind: lock.kind };
}

async function answer(request: Request): Promise<Answer> {
  const { id, name } = request;
  try {
    await ready;
    const handler = handlers[name] as (input: unknown) => Promise<unknown>;
    return { id, ok: true, value: await handler(request.input) };
  } catch (error) {
    const refused = error instanceof Refused ? error : undefined;
    const code = refused?.code ?? codeOf(error);
    const detail = error instanceof Error ? error.message : String(error);
    return {
      id,
      ok: false,
      code,
      detail,
      ...(refused?.retryAfterS === undefined ? {} : { retryAfterS: refused.retryAfterS }),
    };
  }
}

function codeOf(error: unknown): string {
  if (error instanceof Failed) return error.code;
  if (error instanceof Unreachable) return 'unreachable';
  if (error instanceof DOMException && error.name === 'QuotaExceededError') return 'storage_full';
  // What the wasm refuses has its code as its name.
  return error instanceof Error && /^[a-z_]+$/.test(error.name) ? error.name : 'internal';
}

self.addEventListener('message', (event: MessageEvent<Request>) => {
  void answer(event.data).then((message) => {
    self.postMessage(message);
  });
});
