// The vectors of the protocol, through the wasm that browsers load. Adding a file adds a case.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { record, text, type Json } from '../api/decode';
import * as wasm from './pkg/kez_wasm';

const VECTORS = join(import.meta.dirname, '../../../../vectors');

beforeAll(() => {
  wasm.initSync({ module: readFileSync(join(import.meta.dirname, 'pkg/kez_wasm_bg.wasm')) });
});

const hex = (digits: string) =>
  Uint8Array.from(digits.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
const digits = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const bare = (primary: string) => primary.replace('ed25519:', '');

/** Runs `check` on every file of a folder, and fails when there is none. */
function each(topic: string, verdict: 'valid' | 'invalid', check: (vector: Json, name: string) => void) {
  describe(`${topic}/${verdict}`, () => {
    const names = readdirSync(join(VECTORS, topic, verdict));
    it('has files', () => {
      expect(names.length).toBeGreaterThan(0);
    });
    it.each(names)('%s', (name) => {
      check(record(JSON.parse(readFileSync(join(VECTORS, topic, verdict, name), 'utf8'))), name);
    });
  });
}

/** The stable code that a refusal has as its name. */
function refusal(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    return error instanceof Error ? error.name : String(error);
  }
  return 'nothing was refused';
}

each('phrase', 'valid', (vector) => {
  const identity = wasm.Identity.fromPhrase(text(vector, 'phrase'));
  expect(digits(identity.seed())).toBe(text(vector, 'seed'));
  expect(bare(identity.primary)).toBe(text(vector, 'public_key'));
  expect(wasm.checkPhrase(text(vector, 'phrase'))).toBe(text(vector, 'normal').split(' ').length);
  expect(digits(wasm.Identity.fromPhrase(identity.words()).seed())).toBe(text(vector, 'seed'));
});
each('phrase', 'invalid', (vector) => {
  expect(refusal(() => wasm.checkPhrase(text(vector, 'phrase')))).toBe(text(vector, 'error'));
});

each('handle', 'valid', (vector) => {
  expect([undefined, 'reserved']).toContain(wasm.handleFault(text(vector, 'input')));
});
each('handle', 'invalid', (vector) => {
  expect(['length', 'start', 'character']).toContain(wasm.handleFault(text(vector, 'input')));
});

const verifies = (vector: Json) =>
  wasm.verifySignature(
    hex(text(vector, 'public_key')),
    hex(text(vector, 'message')),
    hex(text(vector, 'signature')),
  );
each('ed25519', 'valid', (vector) => {
  expect(verifies(vector)).toBe(true);
});
each('ed25519', 'invalid', (vector) => {
  expect(verifies(vector)).toBe(false);
});

each('registration', 'valid', (vector) => {
  const view = wasm.readRegistration(text(vector, 'envelope'));
  expect([view.handle, view.server, view.primary]).toEqual([
    vector['handle'],
    vector['server'],
    vector['primary'],
  ]);
  expect(view.canonical).toBe(text(vector, 'canonical'));
});
each('registration', 'invalid', (vector) => {
  // What is only refused by the server's policy, such as a bad handle, is believed here.
  const code = text(vector, 'error');
  const ours = ['malformed', 'wrong_type', 'key_mismatch', 'bad_signature'];
  if (ours.includes(code)) expect(refusal(() => wasm.readRegistration(text(vector, 'envelope')))).toBe(code);
});

each('device', 'valid', (vector) => {
  const view = wasm.readDevice(text(vector, 'envelope'));
  const expected = ['device_id', 'auth_key', 'mls_key', 'primary', 'certificate_sha256'].map(
    (key) => vector[key],
  );
  expect([view.deviceId, view.authKey, view.mlsKey, view.primary, view.certificateSha256]).toEqual(expected);
  expect(Date.parse(view.expiresAt)).toBe(Date.parse(text(vector, 'expires_at')));
});
each('device', 'invalid', (vector) => {
  expect(refusal(() => wasm.readDevice(text(vector, 'envelope')))).toBe(text(vector, 'error'));
});

each('device-revocation', 'valid', (vector) => {
  expect(wasm.readRevocation(text(vector, 'envelope')).deviceId).toBe(text(vector, 'device_id'));
});
each('device-revocation', 'invalid', (vector) => {
  expect(refusal(() => wasm.readRevocation(text(vector, 'envelope')))).toBe(text(vector, 'error'));
});

// The web build leaves BIP-340 out: chains that a nostr key signed are refused, never believed.
const SIGNED_BY_NOSTR: Record<string, string> = {
  'nostr.json': 'unsupported',
  'rotated-to-nostr.json': 'bad_rotation',
};
each('sigchain', 'valid', (vector, name) => {
  const read = () => wasm.readChain(text(vector, 'chain'), text(vector, 'jsonl'));
  const refused = SIGNED_BY_NOSTR[name];
  if (refused !== undefined) {
    expect(refusal(read)).toBe(refused);
    return;
  }
  const view = read();
  const head = record(vector['head']);
  expect([view.seq, view.head, view.primary]).toEqual([head['seq'], head['hash'], head['primary']]);
  expect(view.subjects.map(({ subject }) => subject)).toEqual(vector['subjects']);
  expect(view.devices.map(({ deviceId }) => deviceId)).toEqual(Object.keys(record(vector['devices'])).sort());
});
each('sigchain', 'invalid', (vector) => {
  expect(refusal(() => wasm.readChain(text(vector, 'chain'), text(vector, 'jsonl')))).toBe(
    text(vector, 'error'),
  );
});

it('signs a call as the vectors do', () => {
  const vector = record(
    JSON.parse(readFileSync(join(VECTORS, 'http-signature/valid/device-get.json'), 'utf8')),
  );
  const keyId = text(vector, 'key_id');
  const [primary = '', deviceId = ''] = keyId.split('/');
  const device = new wasm.DeviceKeys(hex(deviceId), hex(text(vector, 'seed')), new Uint8Array(32));
  const request = record(vector['request']);
  const headers = wasm.Caller.byDevice(primary, device).sign(
    text(request, 'method'),
    text(request, 'authority'),
    text(request, 'path'),
    text(request, 'query'),
    undefined,
    Number(vector['created']),
    Number(vector['expires']) - Number(vector['created']),
    Buffer.from(text(vector, 'nonce'), 'base64url'),
  );
  expect(headers).toEqual({ signatureInput: vector['signature_input'], signature: vector['signature'] });
});

it('agrees on a session with the server of the vectors', () => {
  const vector = record(
    JSON.parse(readFileSync(join(VECTORS, 'session/valid/roles-exchanged.json'), 'utf8')),
  );
  const exchange = new wasm.Exchange(hex(text(vector, 'client_secret')));
  expect(exchange.publicKey).toBe(text(vector, 'client'));
  const caller = exchange.caller(
    text(vector, 'server'),
    text(vector, 'primary'),
    text(vector, 'device_id'),
    'token',
  );
  const { signatureInput } = caller.sign('GET', 'kez.lat', '/', '', undefined, 1, 60, new Uint8Array(16));
  expect(signatureInput).toContain('keyid="token";alg="hmac-sha256"');
});

describe('an identity', () => {
  const identity = () => wasm.Identity.fromSeed(new Uint8Array(32).fill(0x42));
  const now = Date.parse('2026-05-25T03:00:00Z');

  it('registers as the published example', () => {
    const envelope = identity().register('tudisco', 'kez.lat', now);
    expect(envelope).toContain('"sig":"fe510f5cfe2e137cf49fb48a86335c335f35029cec2796052bd36b225703f225');
    expect(refusal(() => identity().register('Tudisco', 'kez.lat', now))).toBe('bad_handle');
  });

  it('enrols a device that is believed, and names it in its chain', () => {
    const device = new wasm.DeviceKeys(
      new Uint8Array(16).fill(1),
      new Uint8Array(32).fill(2),
      new Uint8Array(32).fill(3),
    );
    const envelope = identity().enrol(device, 'kez.lat', now, 3600);
    const view = wasm.readDevice(envelope);
    expect([view.deviceId, view.expiresAt]).toEqual(['01'.repeat(16), '2026-05-25T04:00:00Z']);
    const first = identity().announceDevice('', envelope, now);
    const second = identity().announceRevocation(first, envelope, now);
    const chain = wasm.readChain(identity().primary, `${first}\n${second}\n`);
    expect(chain.devices).toHaveLength(1);
    expect(chain.devices[0]?.certificateSha256).toBe(view.certificateSha256);
    expect(chain.devices[0]?.revokedAt).toBeDefined();
  });

  it('refuses a seed, a time and a device that are none', () => {
    expect(refusal(() => wasm.Identity.fromSeed(new Uint8Array(31)))).toBe('bad_length');
    expect(refusal(() => identity().register('tudisco', 'kez.lat', Number.MAX_VALUE))).toBe('bad_timestamp');
    expect(refusal(() => identity().announceDevice('', '{}', now))).toBe('malformed');
  });
});

describe('a passphrase', () => {
  it('is stretched as Argon2id does, and never weakly', () => {
    const stretch = (text: string, memory = 19 * 1024) =>
      digits(wasm.stretchPassphrase(text, new Uint8Array(16), memory, 1));
    expect(stretch('correct horse')).toHaveLength(64);
    expect(stretch('correct horse')).not.toBe(stretch('correct horsf'));
    expect(refusal(() => stretch('correct horse', 1024))).toBe('bad_lock');
    expect(refusal(() => wasm.stretchPassphrase('x', new Uint8Array(15), 65536, 1))).toBe('bad_lock');
  });
});
