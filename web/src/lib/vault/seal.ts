// Sealing by WebCrypto. A lock's secret (stretched passphrase, passkey output) becomes two keys by HKDF, one for the seed
// and one for the rest, so that opening the one says nothing about the other.

import type { Sealed } from './vault';

const SALT = new TextEncoder().encode('kez-chat/vault/v1');

export type Purpose = 'seed' | 'keys';

export interface SealingKeys {
  readonly seed: CryptoKey;
  readonly keys: CryptoKey;
}

/** From 32 secret bytes, which are wiped. */
export async function fromSecret(secret: Uint8Array<ArrayBuffer>): Promise<SealingKeys> {
  const base = await crypto.subtle.importKey('raw', secret, 'HKDF', false, ['deriveKey']);
  secret.fill(0);
  const derive = (purpose: Purpose) =>
    crypto.subtle.deriveKey(
      { name: 'HKDF', hash: 'SHA-256', salt: SALT, info: new TextEncoder().encode(purpose) },
      base,
      { name: 'AES-GCM', length: 256 },
      false,
      ['encrypt', 'decrypt'],
    );
  return { seed: await derive('seed'), keys: await derive('keys') };
}

/** A key that WebCrypto gives to nobody, but uses for whoever can use this browser. */
export function browserKey(): Promise<CryptoKey> {
  return crypto.subtle.generateKey({ name: 'AES-GCM', length: 256 }, false, ['encrypt', 'decrypt']);
}

/** Binds what is sealed to its place and owner. */
const bound = (purpose: Purpose, primary: string) =>
  new TextEncoder().encode(`kez-chat/vault/v1\0${purpose}\0${primary}`);

export async function seal(
  key: CryptoKey,
  purpose: Purpose,
  primary: string,
  plain: Uint8Array<ArrayBuffer>,
): Promise<Sealed> {
  const iv = crypto.getRandomValues(new Uint8Array(12));
  const additionalData = bound(purpose, primary);
  const bytes = new Uint8Array(
    await crypto.subtle.encrypt({ name: 'AES-GCM', iv, additionalData }, key, plain),
  );
  return { iv, bytes };
}

/** `undefined` when the key is not the one it was sealed with. */
export async function open(
  key: CryptoKey,
  purpose: Purpose,
  primary: string,
  sealed: Sealed,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const iv = new Uint8Array(sealed.iv);
  const additionalData = bound(purpose, primary);
  try {
    const algorithm = { name: 'AES-GCM', iv, additionalData };
    return new Uint8Array(await crypto.subtle.decrypt(algorithm, key, new Uint8Array(sealed.bytes)));
  } catch {
    return undefined;
  }
}
