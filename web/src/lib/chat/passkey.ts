// Passkeys as a lock: the PRF extension of WebAuthn gives 32 bytes that only this passkey gives.

import type { LockSecret } from '../wasm/protocol';

type PasskeySecret = Extract<LockSecret, { kind: 'passkey' }>;

/** The passkey was not made, not used, or cannot give key material. */
export class PasskeyFailed extends Error {
  override readonly name = 'PasskeyFailed';
}

const random = (length: number) => crypto.getRandomValues(new Uint8Array(length));

/** Whether this device can unlock with itself: fingerprint, face, PIN. */
export async function isAvailable(): Promise<boolean> {
  try {
    return await PublicKeyCredential.isUserVerifyingPlatformAuthenticatorAvailable();
  } catch {
    return false;
  }
}

/** Makes a passkey and asks it once. */
export async function make(address: string): Promise<PasskeySecret> {
  const salt = random(32);
  const credential = await asked(
    navigator.credentials.create({
      publicKey: {
        challenge: random(32), // nobody checks an answer: the passkey proves nothing to a server, it opens a lock
        rp: { name: address.slice(address.indexOf('@') + 1) },
        user: { id: random(16), name: address, displayName: address },
        pubKeyCredParams: [
          { type: 'public-key', alg: -7 },
          { type: 'public-key', alg: -8 },
          { type: 'public-key', alg: -257 },
        ],
        authenticatorSelection: { residentKey: 'preferred', userVerification: 'required' },
        extensions: { prf: { eval: { first: salt } } },
      },
    }),
  );
  const credentialId = new Uint8Array(credential.rawId);
  const results = credential.getClientExtensionResults().prf;
  if (results?.enabled === false) throw new PasskeyFailed('this passkey gives no key material');
  // Many give it on use only.
  return results?.results?.first
    ? secret(results.results.first, credentialId, salt)
    : use(credentialId, salt);
}

export async function use(credentialId: Uint8Array, salt: Uint8Array): Promise<PasskeySecret> {
  const credential = await asked(
    navigator.credentials.get({
      publicKey: {
        challenge: random(32),
        allowCredentials: [{ type: 'public-key', id: new Uint8Array(credentialId) }],
        userVerification: 'required',
        extensions: { prf: { eval: { first: new Uint8Array(salt) } } },
      },
    }),
  );
  const output = credential.getClientExtensionResults().prf?.results?.first;
  if (!output) throw new PasskeyFailed('this passkey gives no key material');
  return secret(output, credentialId, salt);
}

function secret(output: BufferSource, credentialId: Uint8Array, salt: Uint8Array): PasskeySecret {
  const bytes = ArrayBuffer.isView(output)
    ? new Uint8Array(output.buffer, output.byteOffset, output.byteLength)
    : new Uint8Array(output);
  return { kind: 'passkey', output: new Uint8Array(bytes), credentialId, salt };
}

async function asked(request: Promise<Credential | null>): Promise<PublicKeyCredential> {
  let credential: Credential | null;
  try {
    credential = await request;
  } catch (cause) {
    throw new PasskeyFailed('the passkey was not used', { cause });
  }
  if (!(credential instanceof PublicKeyCredential)) throw new PasskeyFailed('no passkey');
  return credential;
}
